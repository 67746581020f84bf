# Runs a formula where Homebrew can't be had: checks the checksum of its source, unpacks and installs that, and runs the
# formula's own test. It knows what ours uses of Homebrew's language and no more, so a misspelled word fails here.
#
#   ruby packaging/homebrew/stand-in.rb FORMULA SOURCE PREFIX

require "digest"
require "fileutils"
require "pathname"
require "tmpdir"

# Homebrew's own: copies files into a folder, under another name where a pair says so.
class Pathname
  def install(*sources)
    mkpath
    sources.flatten.each do |source|
      named = source.is_a?(Hash) ? source : { source => File.basename(source) }
      named.each { |from, name| FileUtils.cp(from, self/name) }
    end
  end
end

class Formula
  class << self
    attr_reader :facts

    %i[desc homepage url sha256 license head].each do |fact|
      define_method(fact) { |value, **| (@facts ||= {})[fact] = value }
    end

    def depends_on(*); end

    def test(&block)
      define_method(:run_test, &block)
    end

    def inherited(formula)
      super
      const_set(:OURS, formula)
    end
  end

  attr_reader :prefix, :testpath

  def initialize(prefix, testpath)
    @prefix = Pathname(prefix)
    @testpath = Pathname(testpath)
  end

  def bin = prefix/"bin"
  def man1 = prefix/"share/man/man1"
  def bash_completion = prefix/"etc/bash_completion.d"
  def zsh_completion = prefix/"share/zsh/site-functions"
  def fish_completion = prefix/"share/fish/vendor_completions.d"
  def pwsh_completion = prefix/"share/pwsh/completions"
  # Not optimized, unlike Homebrew's: only whether it compiles is in question.
  def std_cargo_args = ["--debug", "--locked", "--root=#{prefix}", "--path=."]
  def version = self.class.facts.fetch(:url)[%r{/v([^/]+)/}, 1]

  def system(*command)
    Kernel.system(*command.map(&:to_s)) || abort("formula: #{command.join(" ")} failed")
  end

  def shell_output(command)
    output = `#{command}`
    $?.success? ? output : abort("formula: #{command} failed")
  end

  def assert_match(expected, actual)
    actual.match?(expected) || abort("formula: no #{expected} in #{actual}")
  end
end

formula, source, prefix = ARGV.map { |path| File.expand_path(path) }
load formula
facts = Formula::OURS.facts
abort "formula: #{facts[:url]} is not #{source}" unless File.basename(facts[:url]) == File.basename(source)
abort "formula: the checksum is not that of #{source}" unless facts[:sha256] == Digest::SHA256.file(source).hexdigest
Dir.mktmpdir do |dir|
  ours = Formula::OURS.new(prefix, File.join(dir, "test"))
  ours.testpath.mkpath
  ours.system("tar", "-C", dir, "--strip-components=1", "-xzf", source)
  Dir.chdir(dir) { ours.install }
  Dir.chdir(ours.testpath) { ours.run_test }
  puts ours.caveats
end
