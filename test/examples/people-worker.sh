#!/bin/sh
# A worker in curl and jq: claims from the queue "people", keeps its lease, completes.
#
#   ./people-worker.sh                      works until it is stopped
#   TASKS=1 ./people-worker.sh              works on one task, then ends
#
# SKIPJACK_URL (default http://127.0.0.1:3000) says where; SKIPJACK_API_KEY is needed where keys are set.
set -eu

url="${SKIPJACK_URL:-http://127.0.0.1:3000}"

post() { # path, body
  curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --retry-all-errors \
    --header 'content-type: application/json' ${SKIPJACK_API_KEY:+--header "authorization: Bearer $SKIPJACK_API_KEY"} \
    --data "$2" "$url$1"
}

done=0
while [ "${TASKS:-0}" -eq 0 ] || [ "$done" -lt "${TASKS:-0}" ]; do
  # The same claim_id answers the same task, so curl may repeat a claim whose answer was lost.
  claim_id=$(cat /proc/sys/kernel/random/uuid)
  claimed=$(post /v1/tasks/claim "{\"queues\": [\"people\"], \"worker\": \"curl-$$\", \"lease\": \"30s\", \"wait\": \"20s\", \"claim_id\": \"$claim_id\"}")
  task=$(echo "$claimed" | jq --compact-output '.tasks[0] // empty')
  [ -n "$task" ] || continue

  id=$(echo "$task" | jq --raw-output .id)
  token=$(echo "$task" | jq --raw-output .token)

  # While the work goes on, beat: the lease is 30 s.
  (while sleep 10; do post "/v1/tasks/$id/heartbeat" "{\"token\": \"$token\"}" >/dev/null || exit; done) &
  beating=$!

  # The work: whatever you like. Here, an answer made of the task's input.
  output=$(echo "$task" | jq --compact-output '{reviewed: .input, by: "curl"}')

  kill "$beating" 2>/dev/null || true
  post "/v1/tasks/$id/complete" "{\"token\": \"$token\", \"output\": $output}"
  echo
  done=$((done + 1))
done
