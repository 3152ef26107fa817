"""A running hub, asked by its addresses."""

import json
import time

import requests


class Hub:
    """A running hub: its addresses answer to a token."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def ask(self, path, method="get", parse=json.loads, **options):
        """The answer to a request; an error for a refusal."""
        address = f"http://127.0.0.1:{self.port}{path}"
        answer = requests.request(
            method, address, headers={"Authorization": f"token {self.token}"}, timeout=60, **options
        )
        answer.raise_for_status()
        return parse(answer.text) if answer.text else None

    def wait(self, path, ready, seconds=60):
        """What the path answers as soon as it is ready."""
        end, failure = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                found = self.ask(path)
            except requests.RequestException as error:  # it is starting
                failure = error
            else:
                if ready(found):
                    return found
            time.sleep(0.3)
        raise TimeoutError(f"{path} is not ready: {failure or 'it answers'}")
