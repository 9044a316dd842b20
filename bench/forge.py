"""A forge to clone from: git's own smart HTTP (git http-backend) behind nginx."""

import os
import signal
import subprocess

from home import fresh
from machine import free_port, listens, until

CONFIG = """
daemon off; error_log stderr; pid {dir}/pid; events {{}}
http {{
    access_log off; client_body_temp_path {dir}/body; fastcgi_temp_path {dir}/fastcgi; proxy_temp_path {dir}/proxy;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
        fastcgi_param GIT_PROJECT_ROOT {dir};
        fastcgi_param GIT_HTTP_EXPORT_ALL "";
        fastcgi_param PATH_INFO $uri;
        fastcgi_param QUERY_STRING $query_string;
        fastcgi_param REQUEST_METHOD $request_method;
        fastcgi_param CONTENT_TYPE $content_type;
        fastcgi_param CONTENT_LENGTH $content_length;
        fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
        fastcgi_param HTTP_GIT_PROTOCOL $http_git_protocol;
        location / {{ fastcgi_pass unix:{dir}/socket; fastcgi_buffering off; }}
    }}
}}
"""


def git(dir, *words):
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "core.compression=0"]
    return subprocess.run(["git", "-C", dir, *identity, *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Forge:
    """Up until the end of a `with`."""

    def __init__(self):
        self.dir = fresh("forge")
        os.chmod(self.dir, 0o755)
        self.port = free_port()

    def __enter__(self):
        (self.dir / "nginx.conf").write_text(("user root;" if os.getuid() == 0 else "") + CONFIG.format(dir=self.dir, port=self.port))
        commands = [
            ["fcgiwrap", "-f", "-c", "4", "-s", f"unix:{self.dir}/socket"],
            ["nginx", "-p", self.dir, "-c", self.dir / "nginx.conf"],
        ]
        # Each with what it starts in a group: fcgiwrap's children outlive it.
        self.processes = [subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) for command in commands]
        until((self.dir / "socket").exists, 10)
        until(lambda: listens(self.port), 10)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def repository(self, name, megabytes):
        """One with that much in it, which compresses to nothing less."""
        dir = self.dir / name
        git(self.dir, "init", "-q", "-b", "main", name)
        for n in range(megabytes * 4):
            (dir / f"file{n}").write_bytes(os.urandom(1 << 18))
        return self.commit(name)

    def commit(self, name):
        """One more commit; its hash."""
        (self.dir / name / "changed").write_bytes(os.urandom(1000))
        git(self.dir / name, "add", "-A")
        git(self.dir / name, "commit", "-q", "-m", "changed")
        return git(self.dir / name, "rev-parse", "HEAD")
