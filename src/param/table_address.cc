// SPDX-License-Identifier: Apache-2.0
#include "param/table_address.h"

#include <fmt/format.h>

#include <charconv>

#include "base/try.h"
#include "net/address.h"

namespace glim::param {
namespace {

constexpr std::string_view kScheme = "glim-table://";

// Up to `mark`, which is taken, too. False: it is not there.
bool TakeUpTo(std::string_view mark, std::string_view* text, std::string_view* taken) {
  const size_t at = text->find(mark);
  if (at == std::string_view::npos) return false;
  *taken = text->substr(0, at);
  text->remove_prefix(at + mark.size());
  return true;
}

}  // namespace

bool IsTableAddress(std::string_view text) { return text.starts_with(kScheme); }

std::string ToString(const TableAddress& address) {
  return fmt::format("{}{}/{}?type={}&id={:016x}", kScheme, address.place, address.name,
                     ValueTypeName(address.value_type), address.id);
}

Result<TableAddress> ParseTableAddress(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return Status::Invalid(fmt::format("\"{:.200}\" is no handle of a table: {}", text, why));
  };
  if (!IsTableAddress(text)) return wrong(fmt::format("it does not begin with {}", kScheme));
  std::string_view left = text.substr(kScheme.size()), place, name, type;
  if (!TakeUpTo("/", &left, &place) || !TakeUpTo("?type=", &left, &name) || !TakeUpTo("&id=", &left, &type)) {
    return wrong("it is cut off");
  }
  TableAddress address{std::string(place), std::string(name), ValueType::kF32, 0};
  if (place != kEmbeddedPlace) {
    if (const auto host = net::ParseAddress(address.place); !host.ok()) return wrong(host.status().message());
  }
  TableSpec spec;
  spec.name = address.name;
  if (const auto checked = CheckTableSpec(spec); !checked.ok()) return wrong(checked.status().message());
  const auto value_type = ParseValueType(type);
  if (!value_type.ok()) return wrong(value_type.status().message());
  address.value_type = *value_type;
  const auto [end, error] = std::from_chars(left.data(), left.data() + left.size(), address.id, 16);
  if (error != std::errc() || end != left.data() + left.size() || left.size() != 16) {
    return wrong("its id is no number of 16 hexadecimal digits");
  }
  return address;
}

Status CheckIsSame(const TableAddress& asked, const TableSpec& found, uint64_t found_id) {
  if (asked.id != found_id) {
    return Status::NotFound(fmt::format(
        "the table \"{}\" of this handle was dropped; the one that has its name now is another", asked.name));
  }
  if (asked.value_type != found.value_type) {
    return Status::Invalid(fmt::format("table \"{}\" holds {}, not {} as its handle says", found.name,
                                       ValueTypeName(found.value_type), ValueTypeName(asked.value_type)));
  }
  return Status::Ok();
}

}  // namespace glim::param
