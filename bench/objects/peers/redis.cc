// What the same costs with Redis over a Unix socket, where bytes are copied
// into the server and out of it. ../compare compiles and runs it:
//
//   redis SOCKET

#include <hiredis/hiredis.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "rounds.h"

namespace shmd::bench {
namespace {

void Require(redisContext* context, void* reply, int type) {
  auto* const got = static_cast<redisReply*>(reply);
  if (got == nullptr || got->type != type) {
    std::fprintf(stderr, "redis: %s\n",
                 got == nullptr ? context->errstr : got->str);
    std::exit(1);
  }
  freeReplyObject(got);
}

void SetAndGet(redisContext* context, size_t size_bytes) {
  const std::string data(size_bytes, 'x');
  // Not over the value that is there: a put makes a new object each time.
  Rounds(
      "redis_put", size_bytes,
      [&] {
        Require(context,
                redisCommand(context, "SET put %b", data.data(), data.size()),
                REDIS_REPLY_STATUS);
      },
      [&] {
        Require(context, redisCommand(context, "DEL put"), REDIS_REPLY_INTEGER);
      });
  Require(context,
          redisCommand(context, "SET get %b", data.data(), data.size()),
          REDIS_REPLY_STATUS);
  Rounds(
      "redis_get", size_bytes,
      [&] {
        Require(context, redisCommand(context, "GET get"), REDIS_REPLY_STRING);
      },
      [] {});
}

void PutBatch(redisContext* context) {
  const std::string data(64, 'x');
  const auto replies = [&](int type) {
    for (size_t i = 0; i < kBatch; ++i) {
      void* reply = nullptr;
      redisGetReply(context, &reply);
      Require(context, reply, type);
    }
  };
  Rounds(
      "redis_put_batch_of_64", 64,
      [&] {
        for (size_t i = 0; i < kBatch; ++i) {
          redisAppendCommand(context, "SET batch-%d %b", static_cast<int>(i),
                             data.data(), data.size());
        }
        replies(REDIS_REPLY_STATUS);
      },
      [&] {
        for (size_t i = 0; i < kBatch; ++i) {
          redisAppendCommand(context, "DEL batch-%d", static_cast<int>(i));
        }
        replies(REDIS_REPLY_INTEGER);
      });
}

int Main(int argc, char** argv) {
  if (argc != 2) return 2;
  redisContext* const context = redisConnectUnix(argv[1]);
  if (context == nullptr || context->err != 0) {
    std::fprintf(stderr, "redis: cannot connect\n");
    return 1;
  }
  for (const size_t size_bytes : kSizes) SetAndGet(context, size_bytes);
  PutBatch(context);
  Rounds(
      "redis_get_absent", 0,
      [&] {
        Require(context, redisCommand(context, "EXISTS absent"),
                REDIS_REPLY_INTEGER);
      },
      [] {});
  redisFree(context);
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
