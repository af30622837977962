// What the same costs with Redis over a Unix socket, where bytes are copied
// into the server and out of it. ../compare compiles and runs it:
//
//   redis SOCKET

#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "operations.h"

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

void AddSetAndGet(Operations& operations, redisContext* context,
                  size_t size_bytes) {
  // Not over the value that is there: a put makes a new object each time.
  operations.Add("redis_put", size_bytes, [context, size_bytes] {
    return Timed(
        [context, data = std::string(size_bytes, 'x')] {
          Require(context,
                  redisCommand(context, "SET put %b", data.data(), data.size()),
                  REDIS_REPLY_STATUS);
        },
        [context] {
          Require(context, redisCommand(context, "DEL put"),
                  REDIS_REPLY_INTEGER);
        });
  });
  operations.Add("redis_get", size_bytes, [context, size_bytes] {
    const std::string id = "get-" + std::to_string(size_bytes);
    const std::string data(size_bytes, 'x');
    Require(context,
            redisCommand(context, "SET %s %b", id.c_str(), data.data(),
                         data.size()),
            REDIS_REPLY_STATUS);
    return Timed([context, id] {
      Require(context, redisCommand(context, "GET %s", id.c_str()),
              REDIS_REPLY_STRING);
    });
  });
}

Timer PutBatch(redisContext* context) {
  const auto replies = [context](int type) {
    for (size_t i = 0; i < kBatch; ++i) {
      void* reply = nullptr;
      redisGetReply(context, &reply);
      Require(context, reply, type);
    }
  };
  return Timed(
      [context, replies, data = std::string(64, 'x')] {
        for (size_t i = 0; i < kBatch; ++i) {
          redisAppendCommand(context, "SET batch-%d %b", static_cast<int>(i),
                             data.data(), data.size());
        }
        replies(REDIS_REPLY_STATUS);
      },
      [context, replies] {
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
  Operations operations;
  for (const size_t size_bytes : kSizes) {
    AddSetAndGet(operations, context, size_bytes);
  }
  operations.Add("redis_put_batch_of_64", 64,
                 [context] { return PutBatch(context); });
  operations.Add("redis_get_absent", [context] {
    return Timed([context] {
      Require(context, redisCommand(context, "EXISTS absent"),
              REDIS_REPLY_INTEGER);
    });
  });
  const bool served = operations.Serve();
  redisFree(context);
  return served ? 0 : 1;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
