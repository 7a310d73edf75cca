/** A place (../place.ts) whose lines are those of Docker's own client, and the `husk serve` that it speaks with. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DockerClient } from '../../fixtures/docker-client.ts';
import { root, UNIX_CLIENT } from '../parts.ts';
import { Place } from '../place.ts';

export interface ServedPlace extends Place {
  /** of the server, a path */
  readonly socket: string;
  /** Ends the containers that are left, and the server. @returns supervisors that are there all the same */
  end(): Promise<string[]>;
}

export async function servedPlace(isolation: 'userns' | 'vm', client: DockerClient): Promise<ServedPlace> {
  const settings = 'DOCKER_HOST="unix://$WORK/docker.sock" DOCKER_CONFIG="$WORK/.docker" TZ=UTC';
  const place = new Place(isolation, `env ${settings} ${client.path}`);
  const { home } = place;
  copyFileSync(UNIX_CLIENT, home.path('work/unix-client'));
  const socket = home.path('work/docker.sock');
  const server = spawn(join(root, 'bin/husk'), ['serve', '--host', `unix://${socket}`], {
    env: home.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(server, 'exit');
  // Its first line says that it listens.
  await Promise.race([
    once(server.stdout, 'data'),
    exited.then(([code]) => Promise.reject(new Error(`husk serve ended with ${code}`))),
  ]);
  server.stdout.resume();
  return Object.assign(place, {
    socket,
    async end() {
      const left = await home.endContainers();
      server.kill('SIGTERM');
      await exited;
      home[Symbol.dispose]();
      return left;
    },
  });
}
