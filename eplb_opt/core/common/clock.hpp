// When a loop has to end: at a time, or after a number of steps.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace eplb {

// The clock of Python's time.monotonic(), in nanoseconds.
inline std::int64_t now_ns() {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  return duration_cast<nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Deadline {
 public:
  // After so many seconds from now: at once where they are negative or no number, never where they
  // are infinite or too many to count.
  static Deadline after(double seconds) {
    constexpr double kLongest = 9e9;  // what int64 holds of nanoseconds, and a little less
    if (!(seconds > 0)) return Deadline(now_ns());
    if (seconds >= kLongest) return never();
    return Deadline(now_ns() + static_cast<std::int64_t>(seconds * 1e9));
  }
  static Deadline never() { return Deadline(kNever); }

  // Half way to it from now on.
  Deadline middle() const {
    const std::int64_t now = now_ns();
    return end_ == kNever ? *this : Deadline(now + (end_ - now) / 2);
  }

  bool expired() const { return expires_within(0); }
  bool expires_within(std::int64_t ns) const { return end_ != kNever && now_ns() >= end_ - ns; }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  explicit Deadline(std::int64_t end) : end_(end) {}
  std::int64_t end_;
};

}  // namespace eplb
