#!/usr/bin/env bash
# The steps of the GitHub Action (action.yml): checks the manifests, makes a dry run of
# what the pull request changes, and writes the result as one comment, which later runs
# update. It fails if the check or the dry run fails; a comment that cannot be written is
# a warning, because the tokens of pull requests from forks may only read.
#
# It needs git, curl and jq, and the variables that action.yml and GitHub Actions set.
set -euo pipefail

# The first line of the comment, by which later runs find it.
marker="<!-- cip: ${THIN_MANIFEST_DIR:-$MANIFEST} -->"
comment=$RUNNER_TEMP/cip-comment.md
plan=$RUNNER_TEMP/cip-plan.json

if [[ -n $THIN_MANIFEST_DIR ]]; then
  manifests=(--thin-manifest-dir "$THIN_MANIFEST_DIR")
else
  manifests=(--manifest "${MANIFEST:?set the input thin-manifest-dir or manifest}")
fi

number=$(jq -r '.pull_request.number // empty' "$GITHUB_EVENT_PATH")
base=$BASE
if [[ -z $base ]] && git rev-parse --quiet --verify 'HEAD^2' >/dev/null; then
  base=$(git rev-parse 'HEAD^1')
fi
base=${base:-$(jq -r '.pull_request.base.sha // .before // empty' "$GITHUB_EVENT_PATH")}

# api METHOD PATH [FILE] sends a request to GitHub's API, with FILE as its body. The token
# is in a file that curl reads, so that the list of processes does not show it.
api() {
  curl --silent --show-error --fail-with-body --request "$1" \
    --header @"$RUNNER_TEMP/cip-headers" ${3:+--data-binary @"$3"} "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/$2"
}

# written prints the id of the comment that an earlier run wrote.
written() {
  local page list
  for ((page = 1; page <= 30; page++)); do
    list=$(api GET "issues/$number/comments?per_page=100&page=$page")
    jq -r --arg marker "$marker" '.[] | select(.body | startswith($marker)) | .id' <<<"$list"
    if (($(jq length <<<"$list") < 100)); then return; fi
  done
}

write_comment() {
  local id
  (umask 077; printf 'Authorization: Bearer %s\nAccept: application/vnd.github+json\nContent-Type: application/json\n' "$GITHUB_TOKEN" >"$RUNNER_TEMP/cip-headers")
  jq --null-input --rawfile body "$comment" --arg marker "$marker" '{body: ($marker + "\n" + $body)}' >"$RUNNER_TEMP/cip-body.json"
  id=$(written) && id=${id%%$'\n'*} || return 1
  if [[ -n $id ]]; then
    api PATCH "issues/comments/$id" "$RUNNER_TEMP/cip-body.json" >/dev/null
  else
    api POST "issues/$number/comments" "$RUNNER_TEMP/cip-body.json" >/dev/null
  fi
}

status=0
# The flags are words, as on a command line.
# shellcheck disable=SC2086
"$CIP" check "${manifests[@]}" ${base:+--base "$base"} $CHECK_FLAGS --output markdown >"$comment" || status=$?
"$CIP" run "${manifests[@]}" ${base:+--since "$base"} --report "$plan" --output csv >/dev/null || status=$?

cat "$comment" >>"$GITHUB_STEP_SUMMARY"
printf 'plan=%s\ncomment=%s\n' "$plan" "$comment" >>"$GITHUB_OUTPUT"
if [[ $COMMENT == true && -n $number ]] && ! write_comment; then
  echo '::warning::the comment was not written; does the job have the permission pull-requests: write?'
fi
rm -f "$RUNNER_TEMP/cip-headers"
exit "$status"
