/** Command lines of Docker's compose (script.sh, with the project in `judged/`) against husk and against Docker. */
import { join } from 'node:path';
import { judgeBesideDocker } from '../beside-docker.ts';

const path = (name: string): string => join(import.meta.dirname, name);

await judgeBesideDocker([{ name: 'compose', file: path('script.sh'), beside: path('judged'), plugins: true }]);
