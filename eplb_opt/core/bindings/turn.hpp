// Objects that one thread at a time may ask: a second one gets an error, and no torn state.
#pragma once

#include <atomic>
#include <stdexcept>

namespace eplb::bind {

// Held while the object works or is read. The interpreter lock guards nothing here, since it is
// released around the work.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& is_taken) : is_taken_(is_taken) {
    if (is_taken_.exchange(true, std::memory_order_acquire)) {
      throw std::runtime_error("The object is in use by another thread.");
    }
  }
  ~Turn() { is_taken_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& is_taken_;
};

}  // namespace eplb::bind
