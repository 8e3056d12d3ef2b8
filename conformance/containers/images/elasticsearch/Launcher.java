import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.elasticsearch.bootstrap.ServerArgs;
import org.elasticsearch.common.io.stream.OutputStreamStreamOutput;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;

/**
 * Starts Elasticsearch's server: Launcher HOME. The server's own launcher is not published. It hands the
 * settings to the server on its standard input, and keeps that open: the server ends when it closes.
 * As in the official image, environment variables with a dot in their names are settings; those of
 * X-Pack are left out, for this server has none and refuses what it does not know.
 */
public final class Launcher {
    private static final Pattern SETTING = Pattern.compile("[a-z0-9_]+(\\.[a-z0-9_]+)+");

    private Launcher() {}

    public static void main(String[] args) throws Exception {
        byte[] input = serverArgs(Path.of(args[0]));
        System.setIn(new SequenceInputStream(new ByteArrayInputStream(input), new Silence()));
        Method server = Class.forName("org.elasticsearch.bootstrap.Elasticsearch").getDeclaredMethod("main", String[].class);
        server.setAccessible(true);
        server.invoke(null, (Object) new String[0]);
    }

    private static byte[] serverArgs(Path home) throws IOException {
        Path config = home.resolve("config");
        Path logs = home.resolve("logs");
        Settings.Builder settings = Settings.builder()
            .put("path.home", home)
            .put("path.data", home.resolve("data"))
            .put("path.logs", logs)
            .put("network.host", "0.0.0.0");
        System.getenv().forEach((name, value) -> {
            if (SETTING.matcher(name).matches() && !name.startsWith("xpack.")) {
                settings.put(name, value);
            }
        });
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (OutputStreamStreamOutput out = new OutputStreamStreamOutput(bytes)) {
            new ServerArgs(false, false, null, KeyStoreWrapper.create(), settings.build(), config, logs).writeTo(out);
        }
        return bytes.toByteArray();
    }

    /** Neither says a thing nor ends. */
    private static final class Silence extends InputStream {
        @Override
        public int read() throws IOException {
            try {
                new CountDownLatch(1).await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return -1;
        }
    }
}
