// Requests as gRPC would give them to the services: what the converters let
// through keeps to the limits that the registry relies on.

#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/request_parsers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  const uint8_t parser = input.TakeByte();
  shmd::ParseRequest(parser, input.TakeRest());
  return 0;
}
