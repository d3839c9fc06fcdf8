/** The command that completes a task which waits for somebody, to be copied into another terminal. */
export function completeByCurl({
  serverUrl,
  processId,
  task,
  needsKey,
}: {
  serverUrl: string;
  processId: string;
  task: string;
  needsKey: boolean;
}): string {
  // In single quotes; encodeURIComponent leaves the quote itself as it is.
  const name = encodeURIComponent(task).replaceAll("'", '%27');
  return [
    `curl -s '${serverUrl}/v1/processes/${processId}/tasks/${name}/complete'`,
    "-H 'content-type: application/json'",
    // A key is never printed.
    ...(needsKey ? ['-H "authorization: Bearer $SKIPJACK_API_KEY"'] : []),
    `-d '{"output": {}}'`,
  ].join(' ');
}
