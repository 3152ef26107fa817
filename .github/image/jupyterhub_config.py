# A hub for a course of forty on one machine that provision.sh has made ready:
#   jupyterhub --config .github/image/jupyterhub_config.py
# It listens on loopback; a web server with a certificate stands before it.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
c.Spawner.mem_limit = "2G"  # a workshop notebook takes up to about 1 GB
c.Spawner.cpu_limit = 2.0
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.readonly_paths = ["/srv/mfoml/data"]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {"MFOML_DATA": "/srv/mfoml/data", "OMP_NUM_THREADS": "1", "MFOML_BUDGET": "smoke"}
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": ["python3", "-m", "jupyterhub_idle_culler", "--timeout=3600", "--cull-every=300"],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }
]
