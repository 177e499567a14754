#!/usr/bin/env bash
# Makes a notification for each repository of Quay. Quay sends no header, so that the
# token is in the URL.
set -euo pipefail
: "${TOKEN:?the token of the auditor}" "${QUAY_TOKEN:?an OAuth token with repo:admin}"

for repository in team/apple team/banana; do
  curl --fail --header "Authorization: Bearer $QUAY_TOKEN" --header 'Content-Type: application/json' --data @- \
    "https://quay.io/api/v1/repository/$repository/notification/" <<EOF
{
  "title": "cip audit",
  "event": "repo_push",
  "method": "webhook",
  "config": {"url": "https://audit.example.com/events/quay?token=$TOKEN"},
  "eventConfig": {}
}
EOF
done
