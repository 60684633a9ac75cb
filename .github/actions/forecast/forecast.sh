#!/usr/bin/env bash
# Runs `foretoll $FORETOLL_ARGUMENTS` and puts its Markdown report into the job's summary and, where it is asked for, into
# a comment of the pull request. Words are split as a shell does, but nothing in them is expanded or executed.
set -euo pipefail

folder="${RUNNER_TEMP:-$(mktemp -d)}/foretoll-report"
words=()
while IFS= read -r -d '' word; do words+=("$word"); done < <(
  python -c 'import os, shlex, sys
for word in shlex.split(os.environ["FORETOLL_ARGUMENTS"]): sys.stdout.write(word + "\0")'
)

code=0
foretoll "${words[@]}" --out "$folder" --quiet || code=$?
{
  echo "exit-code=$code"
  echo "folder=$folder"
} >> "$GITHUB_OUTPUT"

if [ -f "$folder/report.md" ]; then
  cat "$folder/report.md" >> "$GITHUB_STEP_SUMMARY"
  if [ "${FORETOLL_COMMENT:-false}" = true ] && [ -n "${FORETOLL_PULL_REQUEST:-}" ]; then
    gh pr comment "$FORETOLL_PULL_REQUEST" --repo "$GITHUB_REPOSITORY" --body-file "$folder/report.md" \
      --edit-last --create-if-none
  fi
fi

# 3: the command worked, and nothing fits what was asked
if [ "$code" -eq 3 ] && [ "${FORETOLL_GATE:-true}" != true ]; then exit 0; fi
exit "$code"
