// SPDX-License-Identifier: Apache-2.0
#include "glim/status.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/try.h"

namespace glim {
namespace {

TEST(Status, OkHasNothingToSay) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.ToString(), "ok");
  EXPECT_TRUE(Status(Code::kOk, "ignored").ok());
  EXPECT_TRUE(Status().With("context").ok());
  EXPECT_TRUE(Status().WithDetails("details").ok());
}

TEST(Status, FailuresReadAsAStory) {
  Status status = Status::NotFound("no such file").With("\"a.csv\"").With("TextFile").WithDetails("traceback");
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message(), "TextFile: \"a.csv\": no such file");
  EXPECT_EQ(status.details(), "traceback");
  const Status copy = status;
  status = Status::Ok();
  EXPECT_EQ(copy.message(), "TextFile: \"a.csv\": no such file");
}

TEST(Result, OfATemporaryMayBeLoopedOver) {
  auto make = [] { return Result<std::vector<int>>({1, 2, 3}); };
  int sum = 0;
  for (int i : make().value()) sum += i;
  for (int i : *make()) sum += i;
  EXPECT_EQ(sum, 12);
}

TEST(Result, ValueOfAFailureThrowsItsMessage) {
  Result<int> failed = Status::Timeout("no answer from shard 3");
  const Result<int>& constant = failed;
  for (auto ask : {+[](Result<int>& r) { return r.value(); }, +[](Result<int>& r) { return std::move(r).value(); }}) {
    try {
      ask(failed);
      FAIL() << "no exception";
    } catch (const BadResultAccess& e) {
      EXPECT_STREQ(e.what(), "no answer from shard 3");
      EXPECT_EQ(e.status().code(), Code::kTimeout);
    }
  }
  EXPECT_THROW((void)constant.value(), BadResultAccess);
  EXPECT_EQ(Result<int>(failed).value_or(7), 7);
}

TEST(Result, MadeFromAnOkStatusIsAFailure) { EXPECT_EQ(Result<int>(Status::Ok()).status().code(), Code::kInternal); }

TEST(Try, PassesFailuresUp) {
  auto half = [](int x) -> Result<int> {
    if (x % 2 != 0) return Status::Invalid("odd");
    return x / 2;
  };
  auto quarter = [&](int x) -> Result<int> {
    ASSIGN_OR_RETURN(const int once, half(x));
    RETURN_IF_ERROR(once < 0 ? Status::Invalid("negative") : Status::Ok());
    return half(once);
  };
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).status().message(), "odd");
  EXPECT_EQ(quarter(-4).status().message(), "negative");
}

}  // namespace
}  // namespace glim
