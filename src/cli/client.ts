import { type Client, createClient } from '../client/client.ts';
import { defaultServerUrl, type Flags, readConfig } from '../config.ts';

/** The client of a command: of the server in --server or SKIPJACK_URL, else of the one `skipjack dev` starts. */
export function configuredClient(flags: Flags): Client {
  const { serverUrl, apiKey } = readConfig(flags);
  return createClient({ url: serverUrl ?? defaultServerUrl, apiKey });
}
