/** The command that sends the event which a task waits for, to be copied into another terminal. */
export function sendByCurl({
  serverUrl,
  event,
  needsKey,
}: {
  serverUrl: string;
  event: { name: string; key: string };
  needsKey: boolean;
}): string {
  const { name, key } = event;
  const body = JSON.stringify({ name, ...(key === '' ? {} : { key }), payload: {} });
  return [
    `curl -s '${serverUrl}/v1/events'`,
    "-H 'content-type: application/json'",
    // A key is never printed.
    ...(needsKey ? ['-H "authorization: Bearer $SKIPJACK_API_KEY"'] : []),
    // In single quotes, in which JSON may say the quote itself by its number.
    `-d '${body.replaceAll("'", '\\u0027')}'`,
  ].join(' ');
}
