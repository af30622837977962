#ifndef SHMD_SHM_CHANNEL_CALL_H_
#define SHMD_SHM_CHANNEL_CALL_H_

#include "shm/channel/call_client.h"
#include "shm/channel/call_server.h"
#include "shm/channel/host_wait.h"
#include "shm/layout/memory_word.h"

namespace shmd {

// Calls through a channel of kCall. One thread at a time may use a client, or a
// server, and all that comes from it. Errors of the publisher and of the
// subscriber are passed on.
using CallClient = BasicCallClient<layout::HostMemory>;
using CallServer = BasicCallServer<layout::HostMemory>;
using CallResponse = BasicCallResponse<layout::HostMemory, HostWait>;
using IncomingCall = BasicIncomingCall<layout::HostMemory, HostWait>;

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_H_
