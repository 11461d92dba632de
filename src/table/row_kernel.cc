// SPDX-License-Identifier: Apache-2.0
#include "table/row_kernel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "table/initial_values.h"

// The loops over a wide row are plain so that the compiler vectorises them, which g++ does with a run-time length from
// -O3 on.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace glim::table {
namespace {

// A rule at work on values of type V. kSlots and kExtras as in RowKernel; Row(extras) is called once per row and gives
// what Update needs; Update(row, pushed, w, slot0, slot1) works on one value.
struct Nothing {};

template <class V>
struct AddWork {
  static constexpr uint32_t kSlots = 0, kExtras = 0;
  explicit AddWork(const Add&) {}
  Nothing Row(V*) const { return {}; }
  static void Update(Nothing, V v, V& w) {
    if constexpr (std::is_integral_v<V>) {
      using U = std::make_unsigned_t<V>;
      w = static_cast<V>(static_cast<U>(w) + static_cast<U>(v));
    } else {
      w += v;
    }
  }
};

template <class V>
struct AssignWork {
  static constexpr uint32_t kSlots = 0, kExtras = 0;
  explicit AssignWork(const Assign&) {}
  Nothing Row(V*) const { return {}; }
  static void Update(Nothing, V v, V& w) { w = v; }
};

template <class V>
struct MinWork {
  static constexpr uint32_t kSlots = 0, kExtras = 0;
  explicit MinWork(const Min&) {}
  Nothing Row(V*) const { return {}; }
  static void Update(Nothing, V v, V& w) { w = v < w ? v : w; }
};

template <class V>
struct MaxWork {
  static constexpr uint32_t kSlots = 0, kExtras = 0;
  explicit MaxWork(const Max&) {}
  Nothing Row(V*) const { return {}; }
  static void Update(Nothing, V v, V& w) { w = v > w ? v : w; }
};

template <class V>
struct SgdWork {
  static constexpr uint32_t kSlots = 0, kExtras = 0;
  explicit SgdWork(const Sgd& rule) : rate(static_cast<V>(rule.rate)) {}
  V Row(V*) const { return rate; }
  static void Update(V rate, V v, V& w) { w -= rate * v; }
  V rate;
};

template <class V>
struct AdaGradWork {
  static constexpr uint32_t kSlots = 1, kExtras = 0;
  explicit AdaGradWork(const AdaGrad& rule) : p{static_cast<V>(rule.rate), static_cast<V>(rule.epsilon)} {}
  struct Parameters {
    V rate, epsilon;
  };
  Parameters Row(V*) const { return p; }
  static void Update(const Parameters& p, V v, V& w, V& n) {
    n += v * v;
    w -= p.rate * v / (std::sqrt(n) + p.epsilon);
  }
  void StartState(V, V& n) const { n = 0; }
  Parameters p;
};

template <class V>
struct AdamWork {
  static constexpr uint32_t kSlots = 2, kExtras = 1;
  explicit AdamWork(const Adam& rule) : rule(rule) {
    for (size_t t = 0; t < kKnownSteps; ++t) known.push_back(Corrected(static_cast<double>(t)));
  }
  struct Parameters {
    V beta1, beta2, rate, scale2, epsilon;
  };
  // The extra is the number of steps of this row. In f32 it stops counting at 2^24, when the corrections have long
  // been 1.
  Parameters Row(V* steps) const {
    *steps += 1;
    return *steps < kKnownSteps ? known[static_cast<size_t>(*steps)] : Corrected(static_cast<double>(*steps));
  }
  static void Update(const Parameters& p, V v, V& w, V& m1, V& m2) {
    m1 = p.beta1 * m1 + (1 - p.beta1) * v;
    m2 = p.beta2 * m2 + (1 - p.beta2) * v * v;
    w -= p.rate * m1 / (std::sqrt(m2 * p.scale2) + p.epsilon);
  }
  void StartState(V, V& m1, V& m2) const { m1 = m2 = 0; }

 private:
  static constexpr size_t kKnownSteps = 1024;

  Parameters Corrected(double steps) const {
    double rate = rule.rate / (1 - std::pow(rule.beta1, steps)), scale2 = 1 / (1 - std::pow(rule.beta2, steps));
    return {static_cast<V>(rule.beta1), static_cast<V>(rule.beta2), static_cast<V>(rate), static_cast<V>(scale2),
            static_cast<V>(rule.epsilon)};
  }
  Adam rule;
  std::vector<Parameters> known;  // By step; pow takes longer than a short row.
};

template <class V>
struct FtrlWork {
  static constexpr uint32_t kSlots = 2, kExtras = 0;
  explicit FtrlWork(const Ftrl& rule)
      : p{static_cast<V>(1 / rule.alpha), static_cast<V>(rule.beta / rule.alpha + rule.l2), static_cast<V>(rule.l1)} {}
  struct Parameters {
    V one_by_alpha, beta_by_alpha_and_l2, l1;
  };
  Parameters Row(V*) const { return p; }
  static void Update(const Parameters& p, V v, V& w, V& z, V& n) {
    V squares = n + v * v;
    V root = std::sqrt(squares);
    z += v - (root - std::sqrt(n)) * p.one_by_alpha * w;
    n = squares;
    // Branch-free: what l1 leaves of z, with its sign.
    V left = std::max(std::abs(z) - p.l1, V{0});
    w = std::copysign(left / (p.beta_by_alpha_and_l2 + root * p.one_by_alpha), -z);
    w = left > 0 ? w : V{0};
  }
  void StartState(V w, V& z, V& n) const {
    n = 0;
    z = w == 0 ? V{0} : std::copysign(std::abs(w) * p.beta_by_alpha_and_l2 + p.l1, -w);
  }
  Parameters p;
};

template <class V, class Work>
void UpdateRow(const Work& work, V* row, RowShape shape, const V* pushed) {
  constexpr uint32_t kSlots = Work::kSlots;
  auto parameters = work.Row(row + size_t{shape.capacity} * (1 + kSlots));
  V* __restrict w = row;
  const V* __restrict v = pushed;
  if constexpr (kSlots == 0) {
    for (uint32_t i = 0; i < shape.width; ++i) Work::Update(parameters, v[i], w[i]);
  } else if constexpr (kSlots == 1) {
    V* __restrict s = row + shape.capacity;
    for (uint32_t i = 0; i < shape.width; ++i) Work::Update(parameters, v[i], w[i], s[i]);
  } else {
    V* __restrict s = row + shape.capacity;
    V* __restrict t = row + size_t{shape.capacity} * 2;
    for (uint32_t i = 0; i < shape.width; ++i) Work::Update(parameters, v[i], w[i], s[i], t[i]);
  }
}

template <class V, class Work>
void UpdateSingle(const Work& work, V* row, V pushed) {
  auto parameters = work.Row(row + 1 + Work::kSlots);
  if constexpr (Work::kSlots == 0) Work::Update(parameters, pushed, row[0]);
  if constexpr (Work::kSlots == 1) Work::Update(parameters, pushed, row[0], row[1]);
  if constexpr (Work::kSlots == 2) Work::Update(parameters, pushed, row[0], row[1], row[2]);
}

template <class V, class Work>
class Kernel final : public RowKernel {
 public:
  template <class Rule>
  Kernel(const Rule& rule, const glim::Initial& initial) : work_(rule), initial_(initial) {
    value_bytes_ = sizeof(V);
    slots_ = Work::kSlots;
    extras_ = Work::kExtras;
    initial_is_constant_ = initial_.is_constant();
    replaces_ = std::is_same_v<Rule, Assign>;
  }

  void Start(Key key, uint32_t first, RowShape shape, std::byte* row) const override {
    V* w = reinterpret_cast<V*>(row);
    initial_.Fill(key, first, shape.width - first, w + first);
    StartStateFrom(first, shape, w);
  }

  void StartState(RowShape shape, std::byte* row) const override {
    StartStateFrom(0, shape, reinterpret_cast<V*>(row));
  }

  void Initial(Key key, uint32_t width, std::byte* out) const override {
    initial_.Fill(key, 0, width, reinterpret_cast<V*>(out));
  }

  void Apply(std::span<std::byte* const> rows, RowShape shape, const std::byte* values, RowOrder order) const override {
    const V* pushed = reinterpret_cast<const V*>(values);
    if (shape.capacity == 1) {
      for (size_t i = 0; i < rows.size(); ++i) UpdateSingle(work_, reinterpret_cast<V*>(rows[i]), pushed[order[i]]);
      return;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      UpdateRow(work_, reinterpret_cast<V*>(rows[i]), shape, pushed + size_t{order[i]} * shape.width);
    }
  }

  void ApplyRun(std::byte* rows, const std::byte* values, size_t count) const override {
    if constexpr (Work::kSlots == 0 && Work::kExtras == 0) {
      V* __restrict w = reinterpret_cast<V*>(rows);
      const V* __restrict v = reinterpret_cast<const V*>(values);
      auto parameters = work_.Row(nullptr);
      for (size_t i = 0; i < count; ++i) Work::Update(parameters, v[i], w[i]);
    } else {
      CHECK(false);
    }
  }

  bool HasNonZero(const std::byte* row, uint32_t width) const override {
    const V* w = reinterpret_cast<const V*>(row);
    return std::any_of(w, w + width, [](V value) { return value != 0; });
  }

 private:
  void StartStateFrom(uint32_t first, RowShape shape, V* row) const {
    V* s = row + shape.capacity;
    V* t = row + size_t{shape.capacity} * 2;
    for (uint32_t i = first; i < shape.width; ++i) {
      if constexpr (Work::kSlots == 1) work_.StartState(row[i], s[i]);
      if constexpr (Work::kSlots == 2) work_.StartState(row[i], s[i], t[i]);
    }
    if (first == 0) std::fill_n(row + size_t{shape.capacity} * (1 + Work::kSlots), Work::kExtras, V{0});
  }

  Work work_;
  InitialValues<V> initial_;
};

template <class V>
struct KernelForRule {
  const glim::Initial& initial;

  template <class Work, class Rule>
  std::unique_ptr<const RowKernel> Make(const Rule& rule) const {
    return std::make_unique<Kernel<V, Work>>(rule, initial);
  }
  std::unique_ptr<const RowKernel> operator()(const Add& rule) const { return Make<AddWork<V>>(rule); }
  std::unique_ptr<const RowKernel> operator()(const Assign& rule) const { return Make<AssignWork<V>>(rule); }
  std::unique_ptr<const RowKernel> operator()(const Min& rule) const { return Make<MinWork<V>>(rule); }
  std::unique_ptr<const RowKernel> operator()(const Max& rule) const { return Make<MaxWork<V>>(rule); }
  template <class Rule>
  std::unique_ptr<const RowKernel> operator()(const Rule& rule) const {
    if constexpr (std::is_floating_point_v<V>) {
      if constexpr (std::is_same_v<Rule, Sgd>) return Make<SgdWork<V>>(rule);
      if constexpr (std::is_same_v<Rule, AdaGrad>) return Make<AdaGradWork<V>>(rule);
      if constexpr (std::is_same_v<Rule, Adam>) return Make<AdamWork<V>>(rule);
      if constexpr (std::is_same_v<Rule, Ftrl>) return Make<FtrlWork<V>>(rule);
    }
    return nullptr;
  }
};

template <class V>
std::unique_ptr<const RowKernel> MakeForType(const TableSpec& spec) {
  auto kernel = std::visit(KernelForRule<V>{spec.initial}, spec.rule);
  CHECK(kernel != nullptr);
  return kernel;
}

// The bits of a float without its sign grow with its magnitude, and infinity and NaN are above all numbers: one integer
// comparison finds all that is bad.
template <class Bits>
constexpr Bits kMagnitude = std::numeric_limits<Bits>::max() >> 1;
constexpr size_t kBlock = 1024;

// The sum has its top bit when the magnitude is above the limit. Sums and ors are what the oldest processors have for
// several values at once, unlike a maximum; a block has a fixed size so that the compiler takes them.
template <class Bits>
[[gnu::always_inline]] inline bool IsAnyAbove(const Bits* block, Bits to_top) {
  Bits above = 0;
  for (size_t i = 0; i < kBlock; ++i) above |= (kMagnitude<Bits> & block[i]) + to_top;
  return above > kMagnitude<Bits>;
}

// The first block that has one; `blocks` when there is none.
template <class Bits>
size_t FindBlock(const Bits* bits, size_t blocks, Bits to_top) {
  size_t block = 0;
  while (block < blocks && !IsAnyAbove(bits + block * kBlock, to_top)) ++block;
  return block;
}

#if defined(__x86_64__)
// The same for newer processors: 16 us for 1 MB of floats instead of 20 to 60, depending on how the loop lies in
// memory.
template <class Bits>
[[gnu::target("avx2")]] size_t FindBlockAvx2(const Bits* bits, size_t blocks, Bits to_top) {
  size_t block = 0;
  while (block < blocks && !IsAnyAbove(bits + block * kBlock, to_top)) ++block;
  return block;
}
#endif

template <class V, class Bits>
size_t FindAbove(std::span<const std::byte> values, V largest) {
  const Bits limit = std::bit_cast<Bits>(largest), to_top = kMagnitude<Bits> - limit;
  const Bits* bits = reinterpret_cast<const Bits*>(values.data());
  const size_t count = values.size() / sizeof(V);
#if defined(__x86_64__)
  static const auto find = __builtin_cpu_supports("avx2") ? &FindBlockAvx2<Bits> : &FindBlock<Bits>;
#else
  constexpr auto find = &FindBlock<Bits>;
#endif
  size_t at = find(bits, count / kBlock, to_top) * kBlock;
  while (at < count && (bits[at] & kMagnitude<Bits>) <= limit) ++at;
  return at;
}

}  // namespace

std::unique_ptr<const RowKernel> MakeRowKernel(const TableSpec& spec) {
  switch (spec.value_type) {
    case ValueType::kF32: return MakeForType<float>(spec);
    case ValueType::kF64: return MakeForType<double>(spec);
    case ValueType::kI32: return MakeForType<int32_t>(spec);
    case ValueType::kI64: return MakeForType<int64_t>(spec);
  }
  CHECK(false);
  return nullptr;
}

size_t FindBadValue(const TableSpec& spec, std::span<const std::byte> values) {
  if (IsInteger(spec.value_type)) return values.size() / ValueBytes(spec.value_type);
  struct Limit {
    enum Kind { kInfinite, kFinite, kSquare };
    Kind operator()(const Assign&) { return kInfinite; }
    Kind operator()(const Min&) { return kInfinite; }
    Kind operator()(const Max&) { return kInfinite; }
    Kind operator()(const Add&) { return kFinite; }
    Kind operator()(const Sgd&) { return kFinite; }
    Kind operator()(const AdaGrad&) { return kSquare; }
    Kind operator()(const Adam&) { return kSquare; }
    Kind operator()(const Ftrl&) { return kSquare; }
  };
  Limit::Kind kind = std::visit(Limit{}, spec.rule);
  if (spec.value_type == ValueType::kF32) {
    constexpr float kLimits[] = {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::max(), 0x1p63f};
    return FindAbove<float, uint32_t>(values, kLimits[kind]);
  }
  constexpr double kLimits[] = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::max(), 0x1p511};
  return FindAbove<double, uint64_t>(values, kLimits[kind]);
}

}  // namespace glim::table
