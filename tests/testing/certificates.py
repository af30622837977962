"""Certificates for tests, by the openssl command."""

import os
import subprocess

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """An authority of its own in `folder`, which must be empty or new."""

    def __init__(self, folder):
        self._folder = folder
        os.makedirs(folder, exist_ok=True)
        self.certificate = os.path.join(folder, "ca.pem")
        self._key = os.path.join(folder, "ca.key")
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out",
                 self.certificate, "-subj", "/CN=test authority", "-days", "2")

    def issue(self, subject_name, names=(), days=2):
        """(certificate, key), both paths. `names` as in "DNS:a", "IP:b".
        With 0 days it has expired already."""
        base = os.path.join(self._folder, "%d" % len(os.listdir(self._folder)))
        request, key = base + ".csr", base + ".key"
        certificate = base + ".pem"
        _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj",
                 "/CN=" + subject_name)
        extensions = base + ".ext"
        with open(extensions, "w") as file:
            if names:
                file.write("subjectAltName=" + ",".join(names) + "\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate,
                 "-CAkey", self._key, "-CAcreateserial", "-days", str(days),
                 "-extfile", extensions, "-out", certificate)
        return certificate, key
