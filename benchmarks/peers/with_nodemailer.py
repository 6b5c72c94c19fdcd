"""nodemailer, through nodemailer.mjs: hands it the job and the newsletter, and returns what it says."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

from . import material
from .environment import node_modules
from .job import Job, Sent


def send(job: Job) -> Sent:
    folder = node_modules()
    # Beside node_modules, because that is where node looks for what a script imports.
    script = shutil.copy(Path(__file__).with_name("nodemailer.mjs"), folder)
    wanted = {
        "host": job.host,
        "port": job.port,
        "scenario": job.scenario,
        "recipients": job.recipients,
        "messages": job.messages,
        "per_message": job.per_message,
        "connections": job.connections,
        "tls": job.tls,
        "key": job.key.read_text() if job.scenario == "signed" else None,
        "dkim_domain": material.DKIM_DOMAIN,
        "dkim_selector": material.DKIM_SELECTOR,
        "from": material.FROM,
        "reply_to": material.REPLY_TO,
        "reverse_path": material.REVERSE_PATH,
        "subject": material.SUBJECT,
        "date": material.DATE.isoformat(),
        "html": material.HTML,
        "text": material.TEXT,
        "people": [dict(zip(material.FIELDS, person, strict=True)) for person in material.PEOPLE],
        "list_id": material.LIST_ID,
        "postal_address": material.POSTAL_ADDRESS,
        "url": material.URL,
        "mailto": material.MAILTO,
        "secret": material.SECRET,
        "campaign": material.CAMPAIGN,
        "constant": base64.b64encode(material.constant_message()).decode(),
    }
    ended = subprocess.run(["node", script], input=json.dumps(wanted), capture_output=True, text=True)
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if "Error" in line]
        raise RuntimeError(errors[0] if errors else f"node ended with {ended.returncode}")
    told = json.loads(ended.stdout)
    version = json.loads((folder / "node_modules/nodemailer/package.json").read_text())["version"]
    return Sent(**told, more={"version": version})
