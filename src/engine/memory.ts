/** Memory of a process that waits for work, for whoever has one above the engine: the service. */
export { IdleMemory } from '../host/memory/idle-memory.ts';
