#!/usr/bin/env bash
# Makes EventBridge send the changes of an Amazon registry in this account and region.
set -euo pipefail
: "${TOKEN:?the token of the auditor}" "${ROLE_ARN:?a role of EventBridge with events:InvokeApiDestination}"

connection=$(aws events create-connection --name cip-audit --authorization-type BASIC \
  --auth-parameters "BasicAuthParameters={Username=cip,Password=$TOKEN}" --query ConnectionArn --output text)
destination=$(aws events create-api-destination --name cip-audit --connection-arn "$connection" --http-method POST \
  --invocation-endpoint https://audit.example.com/events/ecr --query ApiDestinationArn --output text)
aws events put-rule --name cip-audit --event-pattern '{
  "source": ["aws.ecr"],
  "detail-type": ["ECR Image Action", "ECR Referrer Action", "ECR Replication Action", "ECR Pull Through Cache Action"]
}'
aws events put-targets --rule cip-audit --targets "Id=cip-audit,Arn=$destination,RoleArn=$ROLE_ARN"
