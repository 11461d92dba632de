// SPDX-License-Identifier: Apache-2.0
#include "param/table_address.h"

#include <gtest/gtest.h>

namespace glim::param {
namespace {

TEST(TableAddress, IsTheSameAfterItWasText) {
  const TableAddress address{"[::1]:45326", "a.b-c_9", ValueType::kI64, 0xfedcba9876543210};
  const std::string text = ToString(address);
  EXPECT_EQ(text, "glim-table://[::1]:45326/a.b-c_9?type=i64&id=fedcba9876543210");
  const auto read = ParseTableAddress(text);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->place, address.place);
  EXPECT_EQ(read->name, address.name);
  EXPECT_EQ(read->value_type, address.value_type);
  EXPECT_EQ(read->id, address.id);
}

TEST(TableAddress, SaysWhatIsWrongWithIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"ctr", "does not begin with glim-table://"},
      {"glim-table://127.0.0.1:45326/ctr", "cut off"},
      {"glim-table://127.0.0.1:45326/ctr?type=f32", "cut off"},
      {"glim-table://127.0.0.1/ctr?type=f32&id=fedcba9876543210", "address"},
      {"glim-table://127.0.0.1:1/../x?type=f32&id=fedcba9876543210", "cannot be the name of a table"},
      {"glim-table://127.0.0.1:1/ctr?type=f33&id=fedcba9876543210", "is not a value type"},
      {"glim-table://127.0.0.1:1/ctr?type=f32&id=fedcba987654321", "16 hexadecimal digits"},
      {"glim-table://127.0.0.1:1/ctr?type=f32&id=fedcba987654321x", "16 hexadecimal digits"},
      {"glim-table://127.0.0.1:1/ctr?type=f32&id=fedcba98765432100", "16 hexadecimal digits"},
  };
  for (const auto& [text, words] : cases) {
    const auto read = ParseTableAddress(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().code(), Code::kInvalid);
    EXPECT_NE(read.status().message().find(words), std::string::npos) << read.status().message();
  }
}

}  // namespace
}  // namespace glim::param
