#include "serving/fixed_point.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace eplb::serving {

namespace {

constexpr double kMostTotal = 4611686018427387904.0;  // 2**62

template <typename T>
void scale(const StridedRow<T>& loads, int bits, std::span<std::int64_t> fixed) {
  const Index size = std::ssize(fixed);
  if constexpr (std::is_integral_v<T>) {
    const int left = std::max(bits, 0), right = std::max(-bits, 0);
    for (Index i = 0; i < size; ++i) {
      fixed[i] = static_cast<std::int64_t>(loads[i]) << left >> right;
    }
  } else {
    // In two factors, for the whole one may be past the largest float.
    const double half = std::ldexp(1.0, bits / 2), rest = std::ldexp(1.0, bits - bits / 2);
    for (Index i = 0; i < size; ++i) {
      fixed[i] = static_cast<std::int64_t>(static_cast<double>(loads[i]) * half * rest);
    }
  }
}

}  // namespace

void require_exact(const StridedTable& loads, std::span<const double> totals) {
  if (loads.type == NumberType::f32 || loads.type == NumberType::f64) return;
  const double most = std::ranges::max(totals);
  if (most < kMostTotal) return;
  char number[32];
  std::snprintf(number, sizeof(number), "%.3g", most);
  throw std::invalid_argument(std::string("A layer's loads add up to ") + number +
                              "; exact arithmetic needs less than 2**62. Use a larger unit: divide "
                              "the loads by a constant.");
}

FixedLoads fixed_point(const StridedTable& loads, std::span<const double> totals) {
  FixedLoads fixed{std::vector<std::int64_t>(loads.rows * loads.columns),
                   std::vector<double>(loads.rows), loads.columns};
  with_type(loads.type, [&](auto number) {
    using T = decltype(number);
    for (Index layer = 0; layer < loads.rows; ++layer) {
      int exponent = 0;
      std::frexp(totals[layer], &exponent);
      const int bits = kTotalBits - exponent;
      fixed.unit[layer] = std::ldexp(1.0, -bits);
      scale(StridedRow<T>(loads, layer), bits,
            std::span(fixed.weights).subspan(layer * loads.columns, loads.columns));
    }
  });
  return fixed;
}

}  // namespace eplb::serving
