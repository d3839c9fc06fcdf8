/** Tork's text. Containers come later: until then they are refused by name, never ignored. */
import { expect } from 'vitest';
import { createApi } from '../../src/api/api.ts';
import { Engine } from '../../src/engine/engine.ts';
import { test } from '../support/database.ts';

test('differs: the hello world in a container is refused as not supported yet, at its own path /task too', async ({
  database,
}) => {
  const api = createApi(new Engine({ queue: database.queue }));
  for (const path of ['/task', '/v1/tasks']) {
    const response = await api.request(`http://localhost:3000${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', host: 'localhost:3000' },
      body: '{"image":"ubuntu:mantic","cmd":["echo","-n","hello world"]}',
    });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: 'not_supported_yet',
      problems: [{ pointer: '/image' }],
    });
  }
});
