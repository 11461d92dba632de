// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/arithmetic.h"

#include <bit>
#include <cmath>

namespace glim::udf {
namespace {

template <class Of>
void Numbers(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures, const Of& of) {
  double* const results = out->MakeNumbers();
  out->Start(Tag::kNumber);
  const double* const left = a.numbers();
  const double* const right = b.numbers();
  if (a.AreAll(Tag::kNumber) && b.AreAll(Tag::kNumber)) {
    rows.Each([&](uint32_t row) { results[row] = of(left[row], right[row]); });
    return;
  }
  rows.Each([&](uint32_t row) {
    if (a.tag(row) != Tag::kNumber || b.tag(row) != Tag::kNumber) return failures->Add(row);
    results[row] = of(left[row], right[row]);
  });
}

void FailUnordered(const Values& a, const Values& b, const Selection& rows, Failures* failures) {
  rows.Each([&](uint32_t row) {
    if (failures->Has(row)) return;
    const double x = a.numbers()[row];
    const double y = b.numbers()[row];
    if (!(x < y || y < x) && std::bit_cast<uint64_t>(x) != std::bit_cast<uint64_t>(y)) failures->Add(row);
  });
}

// Zero has a sign that plain Lua's may not have.
void FailNegativeZero(const Values& out, const Selection& rows, Failures* failures) {
  rows.Each([&](uint32_t row) {
    if (!failures->Has(row) && out.numbers()[row] == 0 && std::signbit(out.numbers()[row])) failures->Add(row);
  });
}

// LuaJIT for ARM computes whole numbers as integers, whose zero has no sign (0 * -1 and -0 are 0 there), and rounds a
// remainder once.
#if defined(__aarch64__)
constexpr bool kHasIntegers = true;
double Remainder(double x, double y) { return std::fma(-std::floor(x / y), y, x); }
#else
constexpr bool kHasIntegers = false;
double Remainder(double x, double y) { return x - std::floor(x / y) * y; }
#endif

template <class OfNumbers, class OfTexts>
void Order(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures,
           const OfNumbers& of_numbers, const OfTexts& of_texts) {
  if (a.AreAll(Tag::kNumber) && b.AreAll(Tag::kNumber)) {
    const double* const left = a.numbers();
    const double* const right = b.numbers();
    rows.Each([&](uint32_t row) { holds[row] = of_numbers(left[row], right[row]); });
    return;
  }
  rows.Each([&](uint32_t row) {
    const Tag tag = a.tag(row);
    if (tag != b.tag(row)) return failures->Add(row);
    if (tag == Tag::kNumber) {
      holds[row] = of_numbers(a.numbers()[row], b.numbers()[row]);
    } else if (tag == Tag::kText) {
      holds[row] = of_texts(a.texts()[row].view(), b.texts()[row].view());
    } else {
      failures->Add(row);
    }
  });
}

}  // namespace

void Add(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x + y; });
}

void Subtract(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x - y; });
}

void Multiply(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x * y; });
  if constexpr (kHasIntegers) FailNegativeZero(*out, rows, failures);
}

void Divide(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x / y; });
}

void Modulo(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return Remainder(x, y); });
  if constexpr (kHasIntegers) FailNegativeZero(*out, rows, failures);
}

void Negate(const Values& a, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, a, rows, out, failures, [](double x, double) { return -x; });
  if constexpr (kHasIntegers) FailNegativeZero(*out, rows, failures);
}

void Floor(const Values& a, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, a, rows, out, failures, [](double x, double) { return std::floor(x); });
}

void Ceil(const Values& a, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, a, rows, out, failures, [](double x, double) { return std::ceil(x); });
  FailNegativeZero(*out, rows, failures);
}

void Abs(const Values& a, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, a, rows, out, failures, [](double x, double) { return std::abs(x); });
}

void Sqrt(const Values& a, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, a, rows, out, failures, [](double x, double) { return std::sqrt(x); });
}

void Max(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x > y ? x : y; });
  FailUnordered(a, b, rows, failures);
}

void Min(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures) {
  Numbers(a, b, rows, out, failures, [](double x, double y) { return x < y ? x : y; });
  FailUnordered(a, b, rows, failures);
}

void Not(const Values& a, const Selection& rows, Values* out) {
  Tag* const tags = out->StartTags();
  rows.Each([&](uint32_t row) { tags[row] = a.IsTrue(row) ? Tag::kFalse : Tag::kTrue; });
}

void Less(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures) {
  Order(
      a, b, rows, holds, failures, [](double x, double y) { return x < y; },
      [](std::string_view x, std::string_view y) { return x < y; });
}

void LessOrEqual(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures) {
  Order(
      a, b, rows, holds, failures, [](double x, double y) { return x <= y; },
      [](std::string_view x, std::string_view y) { return x <= y; });
}

void Equal(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures) {
  if (a.AreAll(Tag::kNumber) && b.AreAll(Tag::kNumber)) {
    const double* const left = a.numbers();
    const double* const right = b.numbers();
    rows.Each([&](uint32_t row) { holds[row] = left[row] == right[row]; });
    return;
  }
  rows.Each([&](uint32_t row) {
    const Tag tag = a.tag(row);
    if (tag == Tag::kCell || b.tag(row) == Tag::kCell) return failures->Add(row);
    holds[row] = tag == b.tag(row);
    if (tag != b.tag(row)) return;
    if (tag == Tag::kNumber) holds[row] = a.numbers()[row] == b.numbers()[row];
    if (tag == Tag::kText) holds[row] = a.texts()[row].view() == b.texts()[row].view();
  });
}

}  // namespace glim::udf
