// SPDX-License-Identifier: Apache-2.0
#include "env/library.h"

#include <gtest/gtest.h>

#include <cmath>

namespace glim::env {
namespace {

TEST(Library, FunctionsAreThoseOfTheLibrary) {
  double (*power)(double, double) = nullptr;
  double (*root)(double) = nullptr;
  const Status status = LoadFunctions("libm.so.6", {{"pow", &power}, {"sqrt", &root}});
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(power(2, 10), 1024);
  EXPECT_EQ(root(81), 9);
}

TEST(Library, OneThatIsNotInstalledIsNamed) {
  int (*function)() = nullptr;
  const Status status = LoadFunctions("libglim_nowhere.so.7", {{"f", &function}});
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("libglim_nowhere.so.7"), std::string::npos) << status.message();
  EXPECT_EQ(function, nullptr);
}

TEST(Library, AFunctionThatIsNotThereIsNamed) {
  int (*function)() = nullptr;
  const Status status = LoadFunctions("libm.so.6", {{"glim_no_such_function", &function}});
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("glim_no_such_function"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace glim::env
