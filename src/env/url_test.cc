// SPDX-License-Identifier: Apache-2.0
#include "env/url.h"

#include <gtest/gtest.h>

namespace glim::env {
namespace {

TEST(Url, PasswordsAreHidden) {
  EXPECT_EQ(HidePassword("postgresql://ann:secret@host:5432/shop"), "postgresql://ann:***@host:5432/shop");
  EXPECT_EQ(HidePassword("postgres://ann:s/e:c@ret@host/shop"), "postgres://ann:***@host/shop");
  EXPECT_EQ(HidePassword("postgresql:///shop?user=ann&password=secret&sslpassword=s&port=1"),
            "postgresql:///shop?user=ann&password=***&sslpassword=***&port=1");
  EXPECT_EQ(HidePassword("postgresql://ann:secret"), "postgresql://ann:***");
  EXPECT_EQ(HidePassword("mysql://ann:se%20cret@host"), "mysql://ann:***@host");
}

TEST(Url, WithoutAPasswordItStaysAsItIs) {
  for (const char* url :
       {"sqlite:a:b.db", "postgresql://ann@host/shop", "postgresql://host:5432/shop", "postgresql://[::1]:5432/shop",
        "postgresql:///shop?host=/tmp&port=1", "", "://", "x://a?b&c"}) {
    EXPECT_EQ(HidePassword(url), url);
  }
}

}  // namespace
}  // namespace glim::env
