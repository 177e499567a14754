#!/usr/bin/env bash
# Makes Pub/Sub push the changes of Artifact Registry and gcr.io in a project. The
# auditor needs --oidc-audience=https://audit.example.com/ and
# --oidc-email=cip-audit@PROJECT.iam.gserviceaccount.com.
set -euo pipefail
: "${PROJECT:?the project of the registry}"

gcloud pubsub topics describe gcr --project="$PROJECT" || gcloud pubsub topics create gcr --project="$PROJECT"
gcloud pubsub subscriptions create cip-audit --project="$PROJECT" --topic=gcr \
  --push-endpoint=https://audit.example.com/ --push-auth-token-audience=https://audit.example.com/ \
  --push-auth-service-account="cip-audit@$PROJECT.iam.gserviceaccount.com"
