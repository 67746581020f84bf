# Homebrew formula; packaging/build.sh fills in version and checksum.
class JmoTelemetry < Formula
  desc "Offline-first telemetry for JMo Security"
  homepage "https://jmotools.com"
  url "https://github.com/jimmy058910/jmo-telemetry/releases/download/v@VERSION@/jmo-telemetry-@VERSION@-source.tar.gz"
  sha256 "@SHA256 jmo-telemetry-@VERSION@-source.tar.gz@"
  license "MIT"
  head "https://github.com/jimmy058910/jmo-telemetry.git", branch: "main"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    system "packaging/pages.sh", bin/"jmo-telemetry", "pages"
    man1.install Dir["pages/man/*.1"]
    bash_completion.install "pages/completions/jmo-telemetry.bash" => "jmo-telemetry"
    zsh_completion.install "pages/completions/_jmo-telemetry"
    fish_completion.install "pages/completions/jmo-telemetry.fish"
    pwsh_completion.install "pages/completions/_jmo-telemetry.ps1"
  end

  def caveats
    <<~EOS
      To upload regularly:
        jmo-telemetry schedule install
      Before you uninstall:
        jmo-telemetry schedule remove
      What was recorded stays in ~/.jmo-security; `jmo-telemetry forget` deletes it.
    EOS
  end

  test do
    ENV["JMO_TELEMETRY_HOME"] = "#{testpath}/home"
    %w[CI GITHUB_ACTIONS].each { |name| ENV.delete(name) }
    system bin/"jmo-telemetry", "record", "tool.failed", "--tool", "trivy", "--failure-type", "crash",
           "--profile", "fast"
    system bin/"jmo-telemetry", "flush", "--to", "dir:#{testpath}/out"
    assert_match "tool.failed", shell_output("#{bin}/jmo-telemetry spool list --json --state sent")
    assert_match version.to_s, shell_output("#{bin}/jmo-telemetry --version")
  end
end
