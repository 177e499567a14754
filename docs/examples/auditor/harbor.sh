#!/usr/bin/env bash
# Makes a webhook for one project of Harbor. Pulls and scans are not sent.
set -euo pipefail
: "${TOKEN:?the token of the auditor}" "${HARBOR_LOGIN:?USER:PASSWORD of an administrator of the project}"
project=production

curl --fail --user "$HARBOR_LOGIN" --header 'Content-Type: application/json' --data @- \
  "https://harbor.example.com/api/v2.0/projects/$project/webhook/policies" <<EOF
{
  "name": "cip-audit",
  "enabled": true,
  "event_types": ["PUSH_ARTIFACT", "DELETE_ARTIFACT", "REPLICATION", "TAG_RETENTION"],
  "targets": [{
    "type": "http",
    "address": "https://audit.example.com/events/harbor?host=harbor.example.com",
    "auth_header": "Bearer $TOKEN",
    "skip_cert_verify": false
  }]
}
EOF
