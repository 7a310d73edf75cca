import test from 'ava';
import { withLinked } from '../../../src/engine/life/links.ts';

test('what a container sets itself goes before what its links say', (t) =>
  t.deepEqual(withLinked(['A=1', 'DB_PORT=x'], ['DB_PORT=tcp://1', 'DB_NAME=/a/db']), [
    'A=1',
    'DB_PORT=x',
    'DB_NAME=/a/db',
  ]));
