/** The supervisor program over the fake sandbox: what tests give the engine as its supervisor. */
import { main } from '../../src/supervisor/main.ts';
import { openFakeSandbox } from './fake-sandbox.ts';

process.exitCode = await main([], openFakeSandbox, { keepFiles: Number(process.env['HUSK_TEST_KEEP'] ?? 5000) });
