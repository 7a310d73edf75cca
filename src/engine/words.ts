/** Words that options take and this room knows: for whoever offers them to a person who types. Data only. */
export { ALL_CAPABILITIES } from '../container/capabilities.ts';
