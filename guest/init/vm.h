/* What the VM's PID 1 starts; paths on the agent's disk (guest/agent-disk/build). */
#pragma once

#define AGENT_PROGRAM "/bin/node"
#define AGENT_BUNDLE "/husk/agent.cjs"

/* Never returns: switches the machine off. */
_Noreturn void vm_main(void);
