/**
 * No acknowledged commit is lost when a supervisor is killed -9 under load: user namespaces. The same under VM
 * isolation: test/vmm/storage.test.ts.
 */
import test from 'ava';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';
import { missingWorkloadTools, PGBIN, PGDATA, workloadTar } from '../fixtures/workload-image.ts';
import { killUnderLoad, POSTGRES, SQLITE, START_PATIENCE } from './durability.ts';

/** HUSK_DURABILITY_KILLS=10: the long run whose result is in docs/promises.md */
const KILLS = Number(process.env['HUSK_DURABILITY_KILLS'] ?? 3);

const missing = missingWorkloadTools();
for (const [name, database] of [
  ['SQLite', SQLITE],
  ['PostgreSQL', POSTGRES],
] as const)
  (missing === undefined ? test.serial : test.serial.skip)(
    `${name} loses no acknowledged commit (userns)${missing === undefined ? '' : ` — ${missing}`}`,
    async (t) => {
      t.timeout((KILLS + 1) * START_PATIENCE);
      using user = ordinaryUser();
      t.is(user.husk('import', workloadTar(), 'work').status, 0);
      if (database === POSTGRES) {
        const { status, stderr } = user.husk(
          'run',
          '--rm',
          '--isolation=userns',
          '--network',
          'none',
          '-u',
          'postgres',
          '-v',
          `postgres:${PGDATA}`,
          'work',
          `${PGBIN}/initdb`,
          '-D',
          PGDATA,
          '--locale=C',
          '-E',
          'UTF8',
          '-A',
          'trust',
        );
        t.is(status, 0, stderr);
      }
      const shell = {
        husk: (...args: string[]) => user.husk(...args),
        start: (...args: string[]) => user.start([HUSK, ...args], { stdio: 'pipe' }),
      };
      const { lost, damage, acknowledged, kills } = await killUnderLoad(shell, database, {
        name: 'db',
        isolation: ['--isolation=userns'],
        kills: KILLS,
      });
      t.log(`${kills} kills, ${acknowledged} commits acknowledged`);
      t.deepEqual({ lost, damage }, { lost: [], damage: [] });
      t.true(acknowledged > kills * 20);
    },
  );
