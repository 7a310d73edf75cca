/**
 * Runs a serialised launch plan from standard input as the user it is started as; the outcome goes to standard output.
 */
import { readFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import type { LaunchPlan } from '../../src/launch/plan.ts';
import { runHere } from './launching.ts';

process.stdout.write(serialize(await runHere(deserialize(readFileSync(0)) as LaunchPlan)).toString('base64'));
