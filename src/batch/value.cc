// SPDX-License-Identifier: Apache-2.0
#include "glim/batch.h"
#include "glim/batch_builder.h"

namespace glim {

Value::Value(const std::vector<Value>& elements) : type_(Type::kList) {
  ColumnBuilder builder;
  for (const Value& element : elements) builder.Append(element);
  elements_ = std::make_shared<const Column>(builder.Finish());
}

Value::Value(const Cell& cell) : type_(cell.type()) {
  switch (cell.type()) {
    case Type::kBool: int_ = cell.as_bool(); break;
    case Type::kInt64: int_ = cell.as_int64(); break;
    case Type::kDouble: double_ = cell.as_double(); break;
    case Type::kBytes: bytes_ = std::make_shared<const std::string>(cell.as_bytes()); break;
    case Type::kList: {
      ColumnBuilder builder;
      for (int64_t i = 0; i < cell.list_size(); ++i) builder.Append(cell.list_element(i));
      elements_ = std::make_shared<const Column>(builder.Finish());
      break;
    }
    case Type::kNull:
    case Type::kAny: break;
  }
}

Cell Value::cell() const {
  switch (type_) {
    case Type::kBool: return Cell::Bool(int_ != 0);
    case Type::kInt64: return Cell::Int64(int_);
    case Type::kDouble: return Cell::Double(double_);
    case Type::kBytes: return Cell::Bytes(*bytes_);
    case Type::kList: return Cell::List(elements_.get(), 0, elements_->length());
    case Type::kNull:
    case Type::kAny: break;
  }
  return {};
}

std::vector<Value> Value::as_list() const {
  std::vector<Value> elements;
  elements.reserve(elements_->length());
  for (int64_t i = 0; i < elements_->length(); ++i) elements.emplace_back(elements_->At(i));
  return elements;
}

}  // namespace glim
