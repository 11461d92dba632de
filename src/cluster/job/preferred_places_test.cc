// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/preferred_places.h"

#include <gtest/gtest.h>

namespace glim::cluster {
namespace {

TEST(PlacesNear, ExecutorsOfAMachineTakeTurns) {
  PlacesNear near({{1, "10.0.0.1:4000"}, {2, "10.0.0.2:4000"}, {5, "10.0.0.1:4001"}, {6, "[::1]:4000"}});
  EXPECT_EQ(near.Next("10.0.0.1"), 1);
  EXPECT_EQ(near.Next("10.0.0.2"), 2);
  EXPECT_EQ(near.Next("10.0.0.1"), 5);
  EXPECT_EQ(near.Next("10.0.0.1"), 1);
  EXPECT_EQ(near.Next("[::1]"), 6);
  EXPECT_EQ(near.Next("10.0.0.3"), -1);
  EXPECT_EQ(near.Next(""), -1);
}

TEST(PlacesNear, OnOneMachineAllAreAlike) {
  PlacesNear near({{1, "127.0.0.1:1"}, {2, "127.0.0.1:2"}});
  EXPECT_EQ(near.Next("127.0.0.1"), -1);
  EXPECT_EQ(PlacesNear({}).Next("127.0.0.1"), -1);
}

}  // namespace
}  // namespace glim::cluster
