/** Command lines of Docker's buildx (script.sh, with the projects in `judged/`) against husk and against Docker. */
import { join } from 'node:path';
import { judgeBesideDocker } from '../beside-docker.ts';

const path = (name: string): string => join(import.meta.dirname, name);

await judgeBesideDocker([{ name: 'buildx', file: path('script.sh'), beside: path('judged'), plugins: true }]);
