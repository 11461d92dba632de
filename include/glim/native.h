// SPDX-License-Identifier: Apache-2.0
//
// C++ callables as functions of a flow. The signature says what a row must look like:
//
//   parameters: std::string_view, std::string, int64_t and other integers, double, float, bool, std::optional<T> of
//               these (nil allowed), Cell or Value (anything). One parameter per column, from the first; a row with
//               fewer columns or another type is an error that shows the row.
//   Map:        returns one value (one column), a tuple or pair (several), an optional of either (nullopt = one nil
//               column; no row is FlatMap's business), or void.
//   FlatMap:    returns a range (std::vector<std::string_view>, ...) of what Map may return, or takes an Emitter as its
//               last parameter: [](std::string_view line, Emitter& out) { out(word, 1); }
//   All of these may take a TaskContext& after everything else: [](int64_t x, TaskContext& task) { task.Count("odd"); }
//   Filter:     returns bool.
//   Reduce:     (acc..., value...) -> acc, a tuple when a row has several values. Must be associative.
//   ForEachBatch: (const Batch&), (const Batch&, TaskContext&), returning Status or void.
//
// A string_view parameter points into the batch; one that is returned is copied, or keeps the block that it lies in.
// The callable is copied into the flow, and each task calls a copy of its own: what it captures by value belongs to the
// task, what it captures by reference is shared by threads that run at the same time. An exception becomes the run's
// Status.
//
// A class with an operator() (not one that reduces) may also have
//   Setup:    (), (TaskContext&); called before the first row of a task. A task without rows calls neither.
//   Teardown: (), (TaskContext&), (Emitter&), (Emitter&, TaskContext&); called after its last row. May give rows.
// Both return void or Status.
#pragma once

#include <cmath>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "glim/batch.h"
#include "glim/batch_builder.h"
#include "glim/udf.h"

namespace glim {

// Takes rows from a FlatMap or ForEach function: out(word, 1) is a row of two columns. Rows of numbers and bytes are
// written into their columns here and now; what else there is, and a column whose type changes, goes through its
// ColumnBuilder.
class Emitter {
 public:
  // Bytes that lie in the first column of `in` with bytes are not copied. Null: nothing is known of them.
  // `row_count`: so many rows may be expected.
  explicit Emitter(BatchOutput* output, const Batch* in = nullptr, int64_t row_count = 0);
  Emitter(const Emitter&) = delete;

  template <class... Values>
  void operator()(const Values&... values) {
    constexpr uint32_t kShape = ShapeOf<Values...>();
    if constexpr (kShape != 0) {
      if (shape_ == kShape && written_ < room_) [[likely]] {
        void** room = rooms_;
        (Write(*room++, values), ...);
        ++written_;
        return;
      }
    }
    if (lanes_.size() != sizeof...(Values) || written_ == room_) StartRow(sizeof...(Values));
    Lane* lane = lanes_.data();
    (AppendTo(*lane++, values), ...);
    ++written_;
    if constexpr (kShape != 0) RememberShape(kShape);
  }
  // Pushes what is left; the first failure of the output, if any.
  Status Flush();
  bool full() const { return output_->full() || !status_.ok(); }
  // Rows that were taken, up to the last Flush().
  int64_t row_count() const { return row_count_; }

 private:
  // Where a column's rows go: to its room in the builder, or through the builder's methods.
  struct Lane {
    enum class Kind : uint8_t { kUnknown, kBytes, kInt64, kDouble, kBuilder };
    Kind kind = Kind::kUnknown;
    void* room = nullptr;
    int column = 0;
  };

  // The kinds of a row's values, the last one lowest; 0: there are many, or one is not written into a lane's room.
  static constexpr int kShapeBits = 4, kShapeLanes = 8;
  template <class... Values>
  static constexpr uint32_t ShapeOf() {
    if constexpr (sizeof...(Values) == 0 || sizeof...(Values) > kShapeLanes) {
      return 0;
    } else {
      uint32_t shape = 0;
      const bool all = ((shape = shape << kShapeBits | static_cast<uint32_t>(KindOf<Values>()),
                         KindOf<Values>() != Lane::Kind::kUnknown) &&
                        ...);
      return all ? shape : 0;
    }
  }
  template <class T>
  static constexpr Lane::Kind KindOf() {
    using Decayed = std::decay_t<T>;
    if constexpr (std::integral<Decayed> && !std::same_as<Decayed, bool>) return Lane::Kind::kInt64;
    if constexpr (std::floating_point<Decayed>) return Lane::Kind::kDouble;
    constexpr bool kIsText = std::same_as<Decayed, std::string_view> || std::same_as<Decayed, std::string> ||
                             std::same_as<Decayed, const char*> || std::same_as<Decayed, char*>;
    return kIsText ? Lane::Kind::kBytes : Lane::Kind::kUnknown;
  }

  template <class T>
    requires std::is_arithmetic_v<T>
  void Write(void* room, T value) {
    using Number = std::conditional_t<std::integral<T>, int64_t, double>;
    static_cast<Number*>(room)[written_] = static_cast<Number>(value);
  }
  void Write(void* room, std::string_view value) {
    BytesView& view = static_cast<BytesView*>(room)[written_];
    const auto size = static_cast<uint32_t>(value.size());
    if (value.size() > BytesView::kInlineMax) {
      view = LongView(room, value);
    } else if (reinterpret_cast<uintptr_t>(value.data()) - readable_begin_ < readable_size_) {
      view = BytesView::MakeReadable(value.data(), size, 0, 0);
    } else {
      view = BytesView::Make(value.data(), size, 0, 0);
    }
  }

  template <class T>
    requires(KindOf<T>() != Lane::Kind::kUnknown)
  void AppendTo(Lane& lane, const T& value) {
    constexpr Lane::Kind kKind = KindOf<T>();
    if (lane.kind == kKind || FindRoom(lane, kKind)) return Write(lane.room, value);
    AppendTo(builder_.column(lane.column), value);
  }
  template <class T>
  void AppendTo(Lane& lane, const std::optional<T>& value) {
    if (value.has_value()) {
      AppendTo(lane, *value);
    } else {
      BuilderOf(lane).AppendNull();
    }
  }
  template <class T>
    requires(KindOf<T>() == Lane::Kind::kUnknown)
  void AppendTo(Lane& lane, const T& value) {
    AppendTo(BuilderOf(lane), value);
  }

  // Elements of lists, and what has no lane.
  static void AppendTo(ColumnBuilder& column, std::string_view value) { column.AppendBytes(value); }
  static void AppendTo(ColumnBuilder& column, const std::string& value) { column.AppendBytes(value); }
  static void AppendTo(ColumnBuilder& column, const char* value) { column.AppendBytes(value); }
  static void AppendTo(ColumnBuilder& column, const Value& value) { column.Append(value); }
  static void AppendTo(ColumnBuilder& column, const Cell& value) { column.Append(value); }
  static void AppendTo(ColumnBuilder& column, std::nullopt_t) { column.AppendNull(); }
  static void AppendTo(ColumnBuilder& column, bool value) { column.AppendBool(value); }
  template <class T>
    requires(std::integral<T> && !std::same_as<T, bool>)
  static void AppendTo(ColumnBuilder& column, T value) {
    column.AppendInt64(static_cast<int64_t>(value));
  }
  static void AppendTo(ColumnBuilder& column, double value) { column.AppendDouble(value); }
  static void AppendTo(ColumnBuilder& column, float value) { column.AppendDouble(value); }
  template <class T>
  static void AppendTo(ColumnBuilder& column, const std::optional<T>& value) {
    if (value.has_value()) {
      AppendTo(column, *value);
    } else {
      column.AppendNull();
    }
  }
  template <class T>
  static void AppendTo(ColumnBuilder& column, const std::vector<T>& values) {
    for (const auto& value : values) AppendTo(column.elements(), value);
    column.AppendList();
  }

  // Room for more rows, of so many columns.
  void StartRow(size_t width);
  // False: the column's builder takes this row's value, and all others up to the next StartRow.
  bool FindRoom(Lane& lane, Lane::Kind kind);
  ColumnBuilder& BuilderOf(Lane& lane);
  // What the lane with this room has to hold of it.
  BytesView LongView(const void* room, std::string_view value);
  // The next row of this shape need not look at its lanes.
  void RememberShape(uint32_t shape);
  // The rows written so far are the builder's.
  void AddRows();
  void PushRows();

  BatchOutput* const output_;
  BatchBuilder builder_;
  std::vector<Lane> lanes_;
  uint32_t shape_ = 0;  // Of the rows whose lanes are those of rooms_; 0: none.
  void* rooms_[kShapeLanes];
  int64_t written_ = 0;  // Rows in the lanes' room,
  int64_t room_ = 0;     // and how many there may be.
  int64_t row_count_ = 0;
  const int64_t expected_;
  Blocks near_;
  uintptr_t readable_begin_ = 0;  // From so many places on, 16 bytes may be read.
  size_t readable_size_ = 0;
  Status status_;
};

namespace native {

// What a callable takes and gives, from its operator() or function pointer.
template <class F>
struct Signature : Signature<decltype(&F::operator())> {};
template <class R, class... Args>
struct Signature<R (*)(Args...)> {
  using Result = R;
  using Arguments = std::tuple<Args...>;
};
template <class R, class... Args>
struct Signature<R(Args...)> : Signature<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct Signature<R (C::*)(Args...) const> : Signature<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct Signature<R (C::*)(Args...)> : Signature<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct Signature<R (C::*)(Args...) const noexcept> : Signature<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct Signature<R (C::*)(Args...) noexcept> : Signature<R (*)(Args...)> {};

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsTuple = false;
template <class... T>
inline constexpr bool kIsTuple<std::tuple<T...>> = true;
template <class A, class B>
inline constexpr bool kIsTuple<std::pair<A, B>> = true;

// "a number", for the message when a cell does not fit.
template <class T>
constexpr const char* Wanted() {
  if constexpr (kIsOptional<T>) {
    return Wanted<typename T::value_type>();
  } else if constexpr (std::same_as<T, bool>) {
    return "a bool";
  } else if constexpr (std::integral<T>) {
    return "an integer";
  } else if constexpr (std::floating_point<T>) {
    return "a number";
  } else {
    return "bytes";
  }
}

// The cell as a T; false when it is something else.
template <class T>
bool Read(const Cell& cell, T* out) {
  if constexpr (std::same_as<T, Cell>) {
    *out = cell;
    return true;
  } else if constexpr (std::same_as<T, Value>) {
    *out = Value(cell);
    return true;
  } else if constexpr (kIsOptional<T>) {
    if (cell.is_null()) {
      out->reset();
      return true;
    }
    return Read(cell, &out->emplace());
  } else if constexpr (std::same_as<T, bool>) {
    if (cell.type() != Type::kBool) return false;
    *out = cell.as_bool();
    return true;
  } else if constexpr (std::integral<T>) {
    if (cell.type() == Type::kInt64) {
      *out = static_cast<T>(cell.as_int64());
      return std::in_range<T>(cell.as_int64());
    }
    if (cell.type() != Type::kDouble) return false;
    const double d = cell.as_double();
    if (!(d >= -9.2e18 && d <= 9.2e18) || d != std::floor(d) || !std::in_range<T>(static_cast<int64_t>(d)))
      return false;
    *out = static_cast<T>(d);
    return true;
  } else if constexpr (std::floating_point<T>) {
    if (!cell.is_number()) return false;
    *out = static_cast<T>(cell.number());
    return true;
  } else {
    static_assert(
        std::same_as<T, std::string_view> || std::same_as<T, std::string>,
        "a flow's function takes string_view, string, integers, double, bool, optional of these, Cell or Value");
    if (cell.type() != Type::kBytes) return false;
    *out = T(cell.as_bytes());
    return true;
  }
}

// Why a row does not fit a function.
Status WidthError(const Batch& batch, size_t wanted);
Status TypeError(const Batch& batch, int64_t row, size_t column, const char* wanted);
Status ExceptionError(const char* what, const Batch& batch, int64_t row);

// The values of a column as T, read without a look at its type where it is the one that is wanted.
template <class T>
class ColumnReader {
 public:
  ColumnReader(const Batch& batch, size_t column) : column_(batch.column(static_cast<int>(column))) {
    if (batch.row_count() == 0 || column_.may_have_nulls()) return;
    if constexpr (std::same_as<T, std::string_view> || std::same_as<T, std::string>) {
      if (column_.type() == Type::kBytes) values_ = column_.Views().data();
    } else if constexpr (std::same_as<T, int64_t>) {
      if (column_.type() == Type::kInt64) values_ = column_.Int64s().data();
    } else if constexpr (std::same_as<T, double>) {
      if (column_.type() == Type::kDouble) values_ = column_.Doubles().data();
    }
  }
  // All of them are there.
  bool direct() const { return values_ != nullptr; }
  // Expects: direct().
  void Get(int64_t row, T* out) const {
    if constexpr (std::same_as<T, std::string_view> || std::same_as<T, std::string>) {
      *out = T(column_.Resolve(values_[row]));
    } else if constexpr (std::same_as<Stored, T>) {
      *out = values_[row];
    }
  }
  // False: it is none.
  bool Read(int64_t row, T* out) const {
    if (!direct()) return native::Read(column_.At(row), out);
    Get(row, out);
    return true;
  }

 private:
  using Stored = std::conditional_t<std::same_as<T, int64_t> || std::same_as<T, double>, T, BytesView>;

  const Column& column_;
  const Stored* values_ = nullptr;  // Null: they have to be looked at one by one.
};

template <class Tuple>
class RowReader;
template <class... T>
class RowReader<std::tuple<T...>> {
 public:
  // Expects: as many columns, at least.
  explicit RowReader(const Batch& batch) : RowReader(batch, std::index_sequence_for<T...>()) {}

  // No row can fail to be read.
  bool direct() const {
    return std::apply([](const auto&... columns) { return (columns.direct() && ...); }, columns_);
  }
  // Expects: direct().
  void Get(int64_t row, std::tuple<T...>* out) const { Get(row, out, std::index_sequence_for<T...>()); }
  Status Read(int64_t row, std::tuple<T...>* out) const { return Read(row, out, std::index_sequence_for<T...>()); }

 private:
  template <size_t... I>
  RowReader(const Batch& batch, std::index_sequence<I...>) : batch_(batch), columns_(ColumnReader<T>(batch, I)...) {}

  template <size_t... I>
  void Get(int64_t row, std::tuple<T...>* out, std::index_sequence<I...>) const {
    (std::get<I>(columns_).Get(row, &std::get<I>(*out)), ...);
  }
  template <size_t... I>
  Status Read(int64_t row, std::tuple<T...>* out, std::index_sequence<I...>) const {
    Status status;
    (void)((std::get<I>(columns_).Read(row, &std::get<I>(*out)) ||
            (status = TypeError(batch_, row, I, Wanted<T>()), false)) &&
           ...);
    return status;
  }

  const Batch& batch_;
  const std::tuple<ColumnReader<T>...> columns_;
};

// Calls take(row, arguments) for every row, with C++ exceptions turned into a Status. *at is the row that it came to.
// Expects: as many columns as arguments, at least.
template <class Arguments, class Take>
Status ForRows(const Batch& batch, int64_t* at, Take take) {
  const RowReader<Arguments> reader(batch);
  Arguments arguments;
  const int64_t count = batch.row_count();
  int64_t row = 0;
  Status status;
  try {
    const bool direct = reader.direct();
    for (; row < count; ++row) {
      if (direct) [[likely]] {
        reader.Get(row, &arguments);
      } else if (status = reader.Read(row, &arguments); !status.ok()) {
        break;
      }
      take(row, arguments);  // In one place, so that it is in line.
    }
  } catch (const std::exception& e) {
    status = ExceptionError(e.what(), batch, row);
  } catch (...) {
    status = ExceptionError("an exception that is not a std::exception", batch, row);
  }
  *at = row;
  return status;
}

template <class Arguments>
struct Decayed;
template <class... Args>
struct Decayed<std::tuple<Args...>> {
  using Tuple = std::tuple<std::remove_cvref_t<Args>...>;
};

// Is the last of the arguments a T?
template <class Tuple, class T>
inline constexpr bool kEndsWith = false;
template <class First, class... Rest, class T>
inline constexpr bool kEndsWith<std::tuple<First, Rest...>, T> =
    std::same_as<std::tuple_element_t<sizeof...(Rest), std::tuple<First, Rest...>>, T>;

// The first arguments as they are, and as values.
template <class Tuple, size_t... I>
auto Leading(std::index_sequence<I...>) -> std::tuple<std::tuple_element_t<I, Tuple>...>;
template <class Tuple, size_t... I>
auto Prefix(std::index_sequence<I...>) -> std::tuple<std::remove_cvref_t<std::tuple_element_t<I, Tuple>>...>;

// What a call returns as a Status, or what it throws.
template <class Call>
Status Guarded(Call call) {
  try {
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      return Status::Ok();
    } else {
      return call();
    }
  } catch (const std::exception& e) {
    return ExceptionError(e.what(), Batch(), -1);
  } catch (...) {
    return ExceptionError("an exception that is not a std::exception", Batch(), -1);
  }
}

template <class F>
concept HasSetup = requires(F& f) { f.Setup(); } || requires(F& f, TaskContext& task) { f.Setup(task); };
template <class F>
concept HasTeardown = requires(F& f) { f.Teardown(); } || requires(F& f, TaskContext& task) { f.Teardown(task); } ||
                      requires(F& f, Emitter& out) { f.Teardown(out); } ||
                      requires(F& f, Emitter& out, TaskContext& task) { f.Teardown(out, task); };

// Calls Setup and Teardown, where there are such.
template <class F>
class TaskFrame {
 public:
  TaskFrame(F* function, TaskContext* task) : function_(*function), task_(*task) {}

  // With every batch.
  Status Start(const Batch& in) {
    if (started_ || in.row_count() == 0) return Status::Ok();
    started_ = true;
    if constexpr (HasSetup<F>) {
      Status status = Guarded([&]() -> decltype(auto) {
        if constexpr (requires { function_.Setup(task_); }) {
          return function_.Setup(task_);
        } else {
          return function_.Setup();
        }
      });
      if (!status.ok()) return std::move(status).With("setup");
    }
    return Status::Ok();
  }

  Status Finish(BatchOutput& out) {
    if constexpr (HasTeardown<F>) {
      if (!started_) return Status::Ok();
      Emitter emitter(&out);
      Status status = Guarded([&]() -> decltype(auto) {
        if constexpr (requires { function_.Teardown(emitter, task_); }) {
          return function_.Teardown(emitter, task_);
        } else if constexpr (requires { function_.Teardown(emitter); }) {
          return function_.Teardown(emitter);
        } else if constexpr (requires { function_.Teardown(task_); }) {
          return function_.Teardown(task_);
        } else {
          return function_.Teardown();
        }
      });
      if (!status.ok()) return std::move(status).With("teardown");
      return emitter.Flush();
    }
    return Status::Ok();
  }

 private:
  F& function_;
  TaskContext& task_;
  bool started_ = false;
};

template <class T>
void EmitValue(Emitter& out, const T& value) {
  if constexpr (kIsTuple<T>) {
    std::apply([&](const auto&... columns) { out(columns...); }, value);
  } else {
    out(value);
  }
}

// A function of rows, for every role but ForEachBatch.
template <class F>
class RowFunction : public BatchFunction {
  using Sig = Signature<std::remove_cvref_t<F>>;
  using All = typename Sig::Arguments;
  using Result = typename Sig::Result;
  static constexpr bool kTakesTask = kEndsWith<All, TaskContext&>;
  static constexpr size_t kWithoutTask = std::tuple_size_v<All> - (kTakesTask ? 1 : 0);
  static constexpr bool kEmits = kEndsWith<decltype(Leading<All>(std::make_index_sequence<kWithoutTask>())), Emitter&>;
  static constexpr size_t kWidth = kWithoutTask - (kEmits ? 1 : 0);
  using Arguments = decltype(Prefix<All>(std::make_index_sequence<kWidth>()));

 public:
  RowFunction(const F& function, FunctionRole role, TaskContext* task)
      : function_(function), role_(role), task_(task), frame_(&function_, task) {}

  Status Finish(BatchOutput& out) override { return frame_.Finish(out); }

  Status Run(const Batch& in, BatchOutput& out) override {
    if (Status status = frame_.Start(in); !status.ok()) return status;
    if (in.column_count() < static_cast<int>(kWidth)) return WidthError(in, kWidth);
    Emitter emitter(&out, &in, row_count_);
    std::vector<uint32_t> kept;
    int64_t at = 0;
    Status status =
        ForRows<Arguments>(in, &at, [&](int64_t row, Arguments& arguments) { Call(arguments, emitter, row, &kept); });
    if (!status.ok()) return status;
    if (role_ == FunctionRole::kFilter) return out.Push(in.Gather(kept));
    status = emitter.Flush();
    row_count_ = emitter.row_count();
    return status;
  }

 private:
  void Call(Arguments& arguments, Emitter& emitter, int64_t row, std::vector<uint32_t>* kept) {
    const auto call = [&](auto&... values) -> decltype(auto) {
      if constexpr (kEmits && kTakesTask) {
        return function_(values..., emitter, *task_);
      } else if constexpr (kEmits) {
        return function_(values..., emitter);
      } else if constexpr (kTakesTask) {
        return function_(values..., *task_);
      } else {
        return function_(values...);
      }
    };
    if constexpr (kEmits || std::is_void_v<Result>) {
      std::apply(call, arguments);
    } else {
      const auto& result = std::apply(call, arguments);
      if constexpr (std::convertible_to<Result, bool>) {
        if (role_ == FunctionRole::kFilter) {
          if (result) kept->push_back(static_cast<uint32_t>(row));
          return;
        }
      }
      if (role_ == FunctionRole::kForEach) return;
      using R = std::remove_cvref_t<Result>;
      if constexpr (kIsOptional<R>) {
        if constexpr (kIsTuple<typename R::value_type>) {
          if (result.has_value())
            EmitValue(emitter, *result);
          else
            EmitValue(emitter, Value());
        } else {
          EmitValue(emitter, result);
        }
      } else if constexpr (std::ranges::range<R> && !std::convertible_to<R, std::string_view>) {
        if (role_ == FunctionRole::kFlatMap) {
          for (const auto& element : result) EmitValue(emitter, element);
        } else {
          EmitValue(emitter, result);
        }
      } else {
        EmitValue(emitter, result);
      }
    }
  }

  F function_;
  FunctionRole role_;
  int64_t row_count_ = 0;  // What the last batch gave.
  TaskContext* task_;
  TaskFrame<F> frame_;
};

template <class F>
class WholeBatchFunction : public BatchFunction {
 public:
  WholeBatchFunction(const F& function, TaskContext* task)
      : function_(function), task_(task), frame_(&function_, task) {}

  Status Finish(BatchOutput& out) override { return frame_.Finish(out); }

  Status Run(const Batch& in, BatchOutput&) override {
    if (Status status = frame_.Start(in); !status.ok()) return status;
    return Guarded([&] {
      if constexpr (std::invocable<F, const Batch&, TaskContext&>) {
        return function_(in, *task_);
      } else {
        return function_(in);
      }
    });
  }

 private:
  F function_;
  TaskContext* task_;
  TaskFrame<F> frame_;
};

// What a value holds beside itself: with what malloc adds to each piece, 16 bytes. A text that two values share counts
// for both.
template <class T>
int64_t HeldBytes(const T& value) {
  constexpr int64_t kPieceBytes = 16;
  if constexpr (std::same_as<T, std::string>) {
    // Short ones lie in the string itself.
    return value.capacity() == std::string().capacity() ? 0 : static_cast<int64_t>(value.capacity()) + kPieceBytes;
  } else if constexpr (std::same_as<T, Value>) {
    if (value.type() == Type::kBytes)
      return static_cast<int64_t>(value.as_bytes().size() + sizeof(std::string)) + 2 * kPieceBytes;
    return value.type() == Type::kList ? value.cell().list_size() * kPieceBytes + kPieceBytes : 0;
  } else if constexpr (kIsOptional<T>) {
    return value.has_value() ? HeldBytes(*value) : 0;
  } else if constexpr (std::ranges::sized_range<T>) {
    using Element = std::ranges::range_value_t<T>;
    int64_t bytes = static_cast<int64_t>(std::ranges::size(value) * sizeof(Element)) + kPieceBytes;
    if constexpr (!std::is_trivially_copyable_v<Element>) {
      for (const Element& element : value) bytes += HeldBytes(element);
    }
    return bytes;
  } else {
    return 0;
  }
}

// Accumulators of the types that the callable returns.
template <class F>
class TypedReducer : public Reducer {
  using Sig = Signature<std::remove_cvref_t<F>>;
  using Both = typename Decayed<typename Sig::Arguments>::Tuple;
  static constexpr size_t kWidth = std::tuple_size_v<Both> / 2;
  static_assert(std::tuple_size_v<Both> % 2 == 0 && kWidth > 0, "a reduce function takes (acc..., value...)");
  using Arguments = decltype(Prefix<Both>(std::make_index_sequence<kWidth>()));
  template <class T>
  using Owned = std::conditional_t<std::same_as<T, std::string_view>, std::string,
                                   std::conditional_t<std::same_as<T, Cell>, Value, T>>;
  template <class T>
  struct Stored;
  template <class... T>
  struct Stored<std::tuple<T...>> {
    using Tuple = std::tuple<Owned<T>...>;
  };
  using Accumulator = typename Stored<Arguments>::Tuple;

 public:
  explicit TypedReducer(const F& function) : function_(function) {}

  Status Update(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) override {
    at_ = -1;
    if (values.column_count() != static_cast<int>(kWidth)) return WidthError(values, kWidth);
    Accumulator* all = accumulators_.data();
    size_t count = accumulators_.size();
    return ForRows<Arguments>(values, &at_, [&](int64_t row, Arguments& arguments) {
      const uint32_t group = groups[row];
      if (group < count) return Fold(all[group], arguments, std::make_index_sequence<kWidth>());
      std::apply(
          [&](const auto&... value) {
            accumulators_.emplace_back(Owned<std::remove_cvref_t<decltype(value)>>(value)...);
          },
          arguments);
      held_bytes_ += Held(accumulators_.back());
      all = accumulators_.data();
      count = accumulators_.size();
    });
  }

  int64_t memory_bytes() const override {
    return static_cast<int64_t>(accumulators_.capacity() * sizeof(Accumulator)) + held_bytes_;
  }
  int64_t failed() const override { return at_; }

  Result<Batch> Finish() override {
    struct Last : BatchOutput {
      BatchBuilder all;
      Status Push(Batch batch) override {
        std::vector<uint32_t> rows(batch.row_count());
        for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint32_t>(i);
        if (batch.row_count() > 0) all.AppendRows(batch, rows);
        return Status::Ok();
      }
      bool full() const override { return false; }
    } last;
    last.all.SetColumnCount(kWidth);
    Emitter emitter(&last);
    for (const Accumulator& accumulator : accumulators_) EmitValue(emitter, accumulator);
    if (Status status = emitter.Flush(); !status.ok()) return status;
    return last.all.Finish();
  }

 private:
  // A stored string is seen by the function as the string_view it asked for.
  template <class T, class S>
  static T View(S& stored) {
    if constexpr (std::same_as<T, Cell>) {
      return stored.cell();
    } else {
      return T(stored);
    }
  }
  static int64_t Held(const Accumulator& accumulator) {
    return std::apply([](const auto&... value) { return (HeldBytes(value) + ...); }, accumulator);
  }
  template <size_t... I>
  void Fold(Accumulator& accumulator, Arguments& values, std::index_sequence<I...>) {
    held_bytes_ -= Held(accumulator);
    if constexpr (kWidth == 1) {
      using T = std::tuple_element_t<0, Arguments>;
      std::get<0>(accumulator) = Owned<T>(function_(View<T>(std::get<0>(accumulator)), std::get<0>(values)));
    } else {
      const auto result =
          function_(View<std::tuple_element_t<I, Arguments>>(std::get<I>(accumulator))..., std::get<I>(values)...);
      Accumulator next(Owned<std::tuple_element_t<I, Arguments>>(std::get<I>(result))...);
      accumulator = std::move(next);
    }
    held_bytes_ += Held(accumulator);
  }

  F function_;
  std::vector<Accumulator> accumulators_;
  int64_t held_bytes_ = 0;  // What they hold beside themselves.
  int64_t at_ = -1;
};

template <class F>
concept HasSignature = requires { typename Signature<std::remove_cvref_t<F>>::Result; };

template <class F>
constexpr bool IsReducer() {
  using Sig = Signature<std::remove_cvref_t<F>>;
  constexpr size_t n = std::tuple_size_v<typename Sig::Arguments>;
  return n >= 2 && n % 2 == 0 && !std::is_void_v<typename Sig::Result> && !kEndsWith<typename Sig::Arguments, Emitter&>;
}

template <class F, bool kReduces, bool kTakesBatch>
class NativeFunction : public Function {
 public:
  explicit NativeFunction(F function) : function_(std::move(function)) {}
  std::string Describe() const override { return "C++"; }
  Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole role, TaskContext& context) const override {
    if constexpr (kTakesBatch) {
      return std::unique_ptr<BatchFunction>(std::make_unique<WholeBatchFunction<F>>(function_, &context));
    } else if constexpr (kReduces) {
      return Status::Internal("a reduce function in the place of a row function");
    } else {
      return std::unique_ptr<BatchFunction>(std::make_unique<RowFunction<F>>(function_, role, &context));
    }
  }
  Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext&) const override {
    if constexpr (kReduces) {
      return std::unique_ptr<Reducer>(std::make_unique<TypedReducer<F>>(function_));
    } else {
      return Status::Internal("a row function in the place of a reduce function");
    }
  }

 private:
  F function_;
};

// Wrap a callable for its step; a callable of the wrong shape does not compile.
template <class F>
std::shared_ptr<const Function> MakeRowFunction(F function) {
  static_assert(HasSignature<F>,
                "the function needs one plain signature: no generic lambda (auto parameters), no overloads");
  return std::make_shared<NativeFunction<F, false, false>>(std::move(function));
}
template <class F>
std::shared_ptr<const Function> MakeReduceFunction(F function) {
  static_assert(HasSignature<F>,
                "the function needs one plain signature: no generic lambda (auto parameters), no overloads");
  static_assert(IsReducer<F>(),
                "a reduce function takes (acc..., value...) and returns the new acc, or a tuple of them");
  static_assert(!HasSetup<F> && !HasTeardown<F>, "a reduce function has no Setup and no Teardown");
  return std::make_shared<NativeFunction<F, true, false>>(std::move(function));
}
template <class F>
std::shared_ptr<const Function> MakeBatchFunction(F function) {
  static_assert(std::invocable<F, const Batch&, TaskContext&> || std::invocable<F, const Batch&>,
                "ForEachBatch takes (const Batch&, TaskContext&) or (const Batch&)");
  return std::make_shared<NativeFunction<F, false, true>>(std::move(function));
}

}  // namespace native
}  // namespace glim
