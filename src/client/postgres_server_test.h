// SPDX-License-Identifier: Apache-2.0
//
// For tests: a PostgreSQL server of our own, in a temporary folder. It listens on a socket there and on a free port of
// loopback, and ends with the test, however that ends.
#pragma once

#include <arpa/inet.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/env.h"
#include "io/sql/postgres.h"

namespace glim {

class PostgresServer {
 public:
  // The folder with the server's programs; nullopt when there is none on this machine.
  static std::optional<std::string> Find(env::Env& env) {
    const std::string versions = "/usr/lib/postgresql";
    const auto entries = env.files().List(versions);
    for (size_t i = entries.ok() ? entries->size() : 0; i-- > 0;) {
      const std::string folder = versions + "/" + (*entries)[i].name + "/bin";
      if (env.files().Stat(folder + "/postgres").ok() && env.files().Stat(folder + "/initdb").ok()) return folder;
    }
    return std::nullopt;
  }

  PostgresServer(env::Env& env, const std::string& programs)
      : env_(env), programs_(programs), folder_(*env.files().MakeTemporaryFolder("postgres_test")), port_(FreePort()) {
    Start();
  }
  PostgresServer(const PostgresServer&) = delete;
  ~PostgresServer() {
    Kill();
    EXPECT_TRUE(env_.files().RemoveAll(folder_).ok());
  }

  // Through the socket in the folder, as a user who needs no password.
  std::string address() const { return fmt::format("postgresql://ann@/postgres?host={}&port={}", folder_, port_); }
  // Through the port, where a password is asked for. Nobody has one yet.
  std::string port_address(const std::string& user) const {
    return fmt::format("postgresql://{}@127.0.0.1:{}/postgres?sslmode=disable", user, port_);
  }

  // One value, as text; the error when there is one.
  std::string Ask(const std::string& sql) const {
    auto connection = io::PostgresConnection::Open(env_, address());
    if (!connection.ok()) return connection.status().message();
    auto result = (*connection)->Run(sql);
    if (!result.ok()) return result.status().message();
    return result->row_count() > 0 ? result->At(0, 0).value_or("null") : "";
  }

  // At once, with all who are connected.
  void Kill() {
    if (server_ == nullptr) return;
    // The server's own children lead groups of their own and end when they miss it; this ends them in order, too.
    static_cast<void>(Run({programs_ + "/pg_ctl", "-D", data(), "-m", "immediate", "-w", "stop"}));
    server_->Kill();
    static_cast<void>(server_->Wait());
    server_.reset();
  }

 private:
  std::string data() const { return folder_ + "/data"; }

  static int FreePort() {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(probe, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(probe);
    return ntohs(address.sin_port);
  }

  // The server refuses to run as root. It gets the signal that ends it with us anew, for a change of user drops it.
  static std::vector<std::string> AsUser(std::vector<std::string> command) {
    if (geteuid() != 0) return command;
    std::vector<std::string> all = {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                                    "--pdeathsig=KILL"};
    all.insert(all.end(), command.begin(), command.end());
    return all;
  }

  std::unique_ptr<env::ChildProcess> StartChild(std::vector<std::string> command) {
    std::vector<std::string> quiet = {"sh", "-c", R"(exec "$@" >>"$0" 2>&1)", folder_ + "/log"};
    for (std::string& word : AsUser(std::move(command))) quiet.push_back(std::move(word));
    auto child = env_.processes().Start({quiet, {"LC_ALL=C"}, true});
    EXPECT_TRUE(child.ok()) << child.status().message();
    return child.ok() ? *std::move(child) : nullptr;
  }
  int Run(std::vector<std::string> command) {
    const auto child = StartChild(std::move(command));
    return child == nullptr ? -1 : child->Wait().value();
  }

  void Write(const std::string& path, std::string_view text) {
    auto file = env_.files().Create(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE((*file)->Append(text).ok());
    ASSERT_TRUE((*file)->Close().ok());
  }

  void Start() {
    if (geteuid() == 0) {
      const passwd* user = getpwnam("postgres");
      ASSERT_NE(user, nullptr);
      ASSERT_EQ(chown(folder_.c_str(), user->pw_uid, user->pw_gid), 0);
    }
    ASSERT_EQ(
        Run({programs_ + "/initdb", "-D", data(), "-U", "ann", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}),
        0);
    Write(data() + "/pg_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    server_ = StartChild({programs_ + "/postgres", "-D", data(), "-k", folder_, "-p", fmt::format("{}", port_), "-c",
                          "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"});
    constexpr int64_t kPauseNanos = 20'000'000;
    constexpr int kTriesMax = 3000;  // A minute.
    for (int i = 0; i < kTriesMax && Ask("select 1") != "1"; ++i) env_.clock().SleepFor(kPauseNanos);
    ASSERT_EQ(Ask("select 1"), "1");
  }

  env::Env& env_;
  const std::string programs_;
  const std::string folder_;
  const int port_;
  std::unique_ptr<env::ChildProcess> server_;
};

}  // namespace glim
