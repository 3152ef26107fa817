#!/usr/bin/env bash
# Make an Ubuntu LTS machine ready for the course. Run it again at any time: what is right is left alone.
#
#   sudo .github/image/provision.sh [--user NAME]... [--environment conda|pip|/path/of/a/python] [--root FOLDER]
#
# --environment  conda: from environment.yml by miniforge's conda (the default where conda is found);
#                pip: a virtual environment; a path: a Python that has the course already
# --user         whose JupyterLab runs as a service (default ubuntu)
# --root         write below this folder and start nothing: for a look before, and for the tests
set -euo pipefail

root="" environment="" users=()
while [ $# -gt 0 ]; do
    case "$1" in
        --user) users+=("$2"); shift 2 ;;
        --environment) environment="$2"; shift 2 ;;
        --root) root="${2%/}"; shift 2 ;;
        *) echo "unknown option $1: see the head of $0" >&2; exit 2 ;;
    esac
done
[ ${#users[@]} -gt 0 ] || users=(ubuntu)
for user in "${users[@]}"; do
    [[ "$user" =~ ^[a-z][a-z0-9_-]*$ ]] || { echo "no user's name: $user" >&2; exit 2; }
done
[ -n "$environment" ] || { command -v conda >/dev/null && environment=conda || environment=pip; }
checkout="$(cd "$(dirname "$0")/../.." && pwd)"
changes=0

changed() {
    changes=$((changes + 1))
    echo "changed  $1"
}

folder() { # path mode
    [ -d "$root$1" ] && [ "$(stat -c %a "$root$1")" = "$2" ] && return
    mkdir -p "$root$1"
    chmod "$2" "$root$1"
    changed "$1"
}

put() { # path mode, the text on standard input
    local text
    text="$(cat)"
    [ -f "$root$1" ] && [ "$(cat "$root$1")" = "$text" ] && [ "$(stat -c %a "$root$1")" = "$2" ] && return
    mkdir -p "$(dirname "$root$1")"
    printf '%s\n' "$text" >"$root$1"
    chmod "$2" "$root$1"
    changed "$1"
}

owned() { # path user: on the real machine only
    [ -n "$root" ] || [ "$(stat -c %U "$1")" = "$2" ] && return
    chown -R "$2:" "$1"
    changed "$1"
}

# The system's packages and the users.
if [ -z "$root" ]; then
    missing=()
    for package in git curl python3-venv libgomp1 bubblewrap; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
        changed "packages ${missing[*]}"
    fi
    for user in "${users[@]}"; do
        id "$user" >/dev/null 2>&1 && continue
        useradd --create-home --shell /bin/bash "$user"
        changed "user $user"
    done
fi

# The environment.
folder /opt/mfoml 755
case "$environment" in
    conda)
        python=/opt/mfoml/environment/bin/python
        if [ ! -x "$root$python" ]; then
            conda env create --quiet --prefix "$root/opt/mfoml/environment" --file "$checkout/environment.yml"
            changed "$python"
        fi
        ;;
    pip)
        python=/opt/mfoml/environment/bin/python
        if [ ! -x "$root$python" ]; then
            python3 -m venv "$root/opt/mfoml/environment"
            "$root$python" -m pip install --quiet -e "${checkout}[course]"
            changed "$python"
        fi
        ;;
    *)
        python="$environment"
        [ -x "$python" ] || { echo "no Python at $python" >&2; exit 2; }
        ;;
esac

# A kernel for all users, whatever Python their JupyterLab runs on.
put /usr/local/share/jupyter/kernels/mfoml/kernel.json 644 <<JSON
{
 "argv": ["$python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
 "display_name": "Python (mfoml_course)",
 "language": "python"
}
JSON

# Shared data, which students read and nobody writes by mistake.
folder /srv/mfoml 755
folder /srv/mfoml/data 555
put /etc/mfoml/course.env 644 <<ENV
MFOML_DATA=/srv/mfoml/data
HF_HUB_DISABLE_TELEMETRY=1
ENV

# JupyterLab on loopback only; kernels that nobody uses end after an hour.
put /etc/mfoml/jupyter_server_config.py 644 <<'PYTHON'
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.open_browser = False
c.ServerApp.port_retries = 0
c.MappingKernelManager.cull_idle_timeout = 3600
c.MappingKernelManager.cull_interval = 300
c.MappingKernelManager.cull_busy = False
c.LabApp.news_url = None
PYTHON
put /usr/local/bin/mfoml-lab 755 <<SCRIPT
#!/usr/bin/env bash
# JupyterLab of the course for the user who runs it; its port is 8888 + the user's place in /etc/mfoml/users.
set -euo pipefail
place=\$(grep -nx "\$(id -un)" /etc/mfoml/users | cut -d: -f1)
exec "$python" -m jupyterlab --config=/etc/mfoml/jupyter_server_config.py --port=\$((8887 + place))
SCRIPT
put /etc/mfoml/users 644 <<<"$(printf '%s\n' "${users[@]}")"
put /etc/systemd/system/mfoml-lab@.service 644 <<'UNIT'
[Unit]
Description=JupyterLab of the course for %i, on loopback
After=network.target

[Service]
User=%i
WorkingDirectory=/home/%i/course
EnvironmentFile=/etc/mfoml/course.env
EnvironmentFile=/etc/mfoml/tokens/%i.env
ExecStart=/usr/local/bin/mfoml-lab
Restart=on-failure
MemoryMax=80%
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ReadOnlyPaths=/srv/mfoml/data

[Install]
WantedBy=multi-user.target
UNIT

# A machine that nobody uses costs money: it goes off after an hour without a session and without work.
put /usr/local/bin/mfoml-idle 755 <<'SCRIPT'
#!/usr/bin/env bash
# Called every five minutes by mfoml-idle.timer.
set -euo pipefail
stamp=/run/mfoml-busy
load=$(cut -d' ' -f2 /proc/loadavg)
if [ ! -e "$stamp" ] || [ -n "$(who)" ] || awk "BEGIN { exit !($load > 0.2) }"; then
    touch "$stamp"
elif [ $(($(date +%s) - $(stat -c %Y "$stamp"))) -gt 3600 ]; then
    systemctl poweroff
fi
SCRIPT
put /etc/systemd/system/mfoml-idle.service 644 <<'UNIT'
[Unit]
Description=Switch the course's machine off when nobody uses it

[Service]
Type=oneshot
ExecStart=/usr/local/bin/mfoml-idle
UNIT
put /etc/systemd/system/mfoml-idle.timer 644 <<'UNIT'
[Unit]
Description=Look every five minutes whether anybody uses the machine

[Timer]
OnBootSec=15min
OnUnitActiveSec=5min

[Install]
WantedBy=timers.target
UNIT

# A course folder and a token a user. A token that is there stays.
folder /etc/mfoml/tokens 700
for user in "${users[@]}"; do
    folder "/home/$user/course" 750
    if [ ! -d "$root/home/$user/course/nbs" ]; then
        cp -R "$checkout/nbs" "$checkout/settings.ini" "$root/home/$user/course/"
        changed "/home/$user/course/nbs"
    fi
    owned "/home/$user/course" "$user"
    if [ ! -s "$root/etc/mfoml/tokens/$user.env" ]; then
        put "/etc/mfoml/tokens/$user.env" 600 <<<"JUPYTER_TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
    fi
done

# Services and the sanity check.
if [ -z "$root" ]; then
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        for unit in mfoml-idle.timer "${users[@]/%/.service}"; do
            [ "$unit" = mfoml-idle.timer ] || unit="mfoml-lab@$unit"
            systemctl is-enabled --quiet "$unit" 2>/dev/null && continue
            systemctl enable --now --quiet "$unit"
            changed "service $unit"
        done
    fi
    "$python" -m mfoml_course doctor --image
fi
echo "$changes changes"
