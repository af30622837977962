#include "shm/directory/pins.h"

namespace shmd {

uint64_t NextPageNumber() {
  static std::atomic<uint64_t> last_number{0};
  return last_number.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace shmd
