/* The programs that the VM's PID 1 starts; paths on the agent's disk (guest/agent-disk/build). */
#pragma once

#define AGENT_PROGRAM "/bin/node"
#define AGENT_BUNDLE "/husk/agent.cjs"

/* Runs the VM; never returns, because it switches the machine off at the end. */
_Noreturn void vm_main(void);
