/** Command lines of Docker's client (test/service/script/*.sh) against husk and against Docker's own engine. */
import { join } from 'node:path';
import { judgeBesideDocker } from './beside-docker.ts';

const file = (name: string): string => join(import.meta.dirname, `script/${name}.sh`);

await judgeBesideDocker(['containers', 'storage', 'networks'].map((name) => ({ name, file: file(name) })));
