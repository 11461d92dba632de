// SPDX-License-Identifier: Apache-2.0
//
// How the parts of a flow become bytes (graph_codec.h): a writer and a reader that go through the same fields, so the
// two ways cannot differ. Of a plain struct they take all fields in their order, without being told; a type that needs
// more has a function for both,
//
//   template <class A>
//   void Travel(A& archive, Fold& fold) { archive(fold.kind, fold.at); }
//
// and one that can be wrong a function for the reader, Check(Reader&, const T&). Numbers are little-endian; texts and
// lists have their size before them, an optional and a variant a byte.
//
// The reader never trusts a number: a size is held against the bytes that are left, an enumeration against its last
// value. After the first thing that makes no sense it takes nothing more, and status() says what it was.
//
// Thread: values.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "glim/status.h"
#include "net/bytes.h"

namespace glim::exec {

// The last value of each enumeration that travels.
template <class E>
inline constexpr E kLastOf = E::kAddItToTheCodec;

// What a value is before its fields are read.
template <class T>
T Blank() {
  return T{};
}

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsPair = false;
template <class A, class B>
inline constexpr bool kIsPair<std::pair<A, B>> = true;
template <class T>
inline constexpr bool kIsVariant = false;
template <class... T>
inline constexpr bool kIsVariant<std::variant<T...>> = true;

// The fields of a plain struct. One that is not counted right does not compile below.
struct AnyField {
  template <class T>
  operator T() const;
};
template <class T, class... Known>
consteval size_t FieldCount() {
  if constexpr (requires { T{Known{}..., AnyField{}}; }) {
    return FieldCount<T, Known..., AnyField>();
  } else {
    return sizeof...(Known);
  }
}
template <class A, class T>
void TravelFields(A& archive, T& value) {
  constexpr size_t kCount = FieldCount<T>();
  static_assert(std::is_aggregate_v<T>, "it needs a function Travel");
  if constexpr (kCount == 1) {
    auto& [a] = value;
    archive(a);
  } else if constexpr (kCount == 2) {
    auto& [a, b] = value;
    archive(a, b);
  } else if constexpr (kCount == 3) {
    auto& [a, b, c] = value;
    archive(a, b, c);
  } else if constexpr (kCount == 4) {
    auto& [a, b, c, d] = value;
    archive(a, b, c, d);
  } else if constexpr (kCount == 5) {
    auto& [a, b, c, d, e] = value;
    archive(a, b, c, d, e);
  } else if constexpr (kCount == 6) {
    auto& [a, b, c, d, e, f] = value;
    archive(a, b, c, d, e, f);
  } else if constexpr (kCount == 7) {
    auto& [a, b, c, d, e, f, g] = value;
    archive(a, b, c, d, e, f, g);
  } else if constexpr (kCount == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = value;
    archive(a, b, c, d, e, f, g, h, i, j);
  } else {
    static_assert(kCount == 0, "so many fields were not needed before");
  }
}

template <class Context>
class Writer {
 public:
  static constexpr bool kReads = false;

  explicit Writer(Context context) : context(std::move(context)) {}

  // It only looks at the fields; they are not const because readers share the lists.
  template <class... T>
  void operator()(T&... fields) {
    (Put(fields), ...);
  }

  void Bytes(std::string_view bytes) {
    if (bytes.size() > std::numeric_limits<uint32_t>::max()) return Fail(Status::Invalid("a text of 4 GiB or more"));
    net::PutNumber(static_cast<uint32_t>(bytes.size()), &bytes_);
    bytes_.append(bytes);
  }

  // The first failure counts.
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  const Status& status() const { return status_; }
  std::string TakeBytes() { return std::move(bytes_); }

  Context context;

 private:
  template <class T>
  void Put(T& field) {
    if constexpr (std::is_enum_v<T>) {
      // Found when it is written already: kLastOf has to be told about a new value.
      if (field > kLastOf<T>) Fail(Status::Internal("a value of an enumeration that the codec does not know"));
      net::PutNumber(static_cast<uint8_t>(field), &bytes_);
    } else if constexpr (std::is_arithmetic_v<T>) {
      net::PutNumber(field, &bytes_);
    } else if constexpr (std::is_same_v<T, std::string>) {
      Bytes(field);
    } else if constexpr (kIsVector<T>) {
      if (field.size() > std::numeric_limits<uint32_t>::max()) return Fail(Status::Invalid("a list of 2^32 or more"));
      net::PutNumber(static_cast<uint32_t>(field.size()), &bytes_);
      for (auto& item : field) Put(item);
    } else if constexpr (kIsOptional<T>) {
      net::PutNumber(static_cast<uint8_t>(field.has_value()), &bytes_);
      if (field) Put(*field);
    } else if constexpr (kIsPair<T>) {
      Put(field.first);
      Put(field.second);
    } else if constexpr (kIsVariant<T>) {
      static_assert(std::variant_size_v<T> < 256);
      net::PutNumber(static_cast<uint8_t>(field.index()), &bytes_);
      std::visit([&](auto& body) { Put(body); }, field);
    } else if constexpr (requires { Travel(*this, field); }) {
      Travel(*this, field);
    } else {
      TravelFields(*this, field);
    }
  }

  std::string bytes_;
  Status status_;
};

template <class Context>
class Reader {
 public:
  static constexpr bool kReads = true;

  Reader(std::string_view bytes, Context context) : context(std::move(context)), left_(bytes) {}

  template <class... T>
  void operator()(T&... fields) {
    (Take(fields), ...);
  }

  std::string_view Bytes() { return Cut(Number<uint32_t>()); }

  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  // kCorrupt, unless it holds.
  void Require(bool holds, std::string_view what) {
    if (!holds) Fail(Status::Corrupt(fmt::format("damaged flow: {}", what)));
  }
  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  size_t left() const { return left_.size(); }

  Context context;

 private:
  // Nothing, once something went wrong.
  std::string_view Cut(size_t size) {
    Require(size <= left_.size(), "it ends too early");
    if (!ok()) return {};
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  template <class T>
  T Number() {
    const std::string_view bytes = Cut(sizeof(T));
    return ok() ? net::NumberAt<T>(bytes.data()) : T{};
  }

  template <class T>
  void Take(T& field) {
    if (!ok()) return;
    if constexpr (std::is_enum_v<T>) {
      const auto number = Number<uint8_t>();
      Require(number <= static_cast<uint8_t>(kLastOf<T>), "an unknown value of an enumeration");
      if (ok()) field = static_cast<T>(number);
    } else if constexpr (std::is_same_v<T, bool>) {
      const auto number = Number<uint8_t>();
      Require(number <= 1, "a truth value");
      field = number == 1;
    } else if constexpr (std::is_arithmetic_v<T>) {
      field = Number<T>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      field = Bytes();
    } else if constexpr (kIsVector<T>) {
      const auto count = Number<uint32_t>();
      Require(count <= left_.size(), "a list is longer than what is left");  // An item takes a byte at least.
      for (uint32_t i = 0; i < count && ok(); ++i) Take(field.emplace_back(Blank<typename T::value_type>()));
    } else if constexpr (kIsOptional<T>) {
      bool there = false;
      Take(there);
      if (there) Take(field.emplace(Blank<typename T::value_type>()));
    } else if constexpr (kIsPair<T>) {
      Take(field.first);
      Take(field.second);
    } else if constexpr (kIsVariant<T>) {
      const auto kind = Number<uint8_t>();
      Require(kind < std::variant_size_v<T>, "an unknown kind");
      TakeKind(kind, field, std::make_index_sequence<std::variant_size_v<T>>());
    } else if constexpr (requires { Travel(*this, field); }) {
      Travel(*this, field);
    } else {
      TravelFields(*this, field);
    }
    if constexpr (requires { Check(*this, std::as_const(field)); }) {
      if (ok()) Check(*this, std::as_const(field));
    }
  }

  template <class T, size_t... I>
  void TakeKind(uint8_t kind, T& field, std::index_sequence<I...>) {
    if (!ok()) return;
    ((kind == I ? Take(field.template emplace<I>(Blank<std::variant_alternative_t<I, T>>())) : void()), ...);
  }

  std::string_view left_;
  Status status_;
};

}  // namespace glim::exec
