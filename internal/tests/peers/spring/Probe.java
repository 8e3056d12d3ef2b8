import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisOperations;
import org.springframework.session.data.redis.RedisSessionRepository;
import org.springframework.session.data.redis.config.annotation.web.http.EnableRedisHttpSession;
import org.springframework.session.web.http.SessionRepositoryFilter;

/**
 * The program of the comparison, on Spring Session with its defaults. It prints its port, and ends with its
 * standard input. System properties say where Redis is (redis), the prefix of the keys (namespace), the idle
 * limit in seconds (idle), and whom a request asks before it goes on (hold).
 */
public final class Probe extends HttpServlet {
    private final transient HttpClient client = HttpClient.newHttpClient();
    private final transient RedisOperations<String, Object> store;
    private final String namespace = System.getProperty("namespace");

    private Probe(RedisOperations<String, Object> store) {
        this.store = store;
    }

    @EnableRedisHttpSession(redisNamespace = "${namespace}")
    static class Settings {
        @Bean
        LettuceConnectionFactory connections() {
            return new LettuceConnectionFactory(LettuceConnectionFactory.createRedisConfiguration(System.getProperty("redis")));
        }
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String path = request.getRequestURI();
        switch (path) {
            case "/store/keys" -> response.getWriter().print(String.join("\n", keys()));
            case "/store/clear" -> store.delete(keys());
            case "/store/age" -> age(Duration.ofSeconds(Long.parseLong(request.getParameter("seconds"))));
            case "/store/fail" -> fail();
            default -> response.getWriter().print(handle(path, request));
        }
    }

    /** The same as handle of libraries_test.go. */
    private String handle(String path, HttpServletRequest request) throws IOException {
        switch (path) {
            case "/login" -> {
                request.getSession();
                request.changeSessionId();
                request.getSession().setAttribute("user", "alice");
            }
            case "/logout" -> request.getSession().invalidate();
            case "/read" -> {
                get(request, "user");
                hold(path);
            }
            case "/write/a", "/write/b" -> {
                get(request, "user");
                hold(path);
                request.getSession().setAttribute(path.substring("/write/".length()), "1");
            }
            default -> { }
        }
        return get(request, "user") + " " + get(request, "a") + " " + get(request, "b");
    }

    private static String get(HttpServletRequest request, String key) {
        HttpSession session = request.getSession(false);
        return session != null && session.getAttribute(key) instanceof String text ? text : "";
    }

    private void hold(String path) throws IOException {
        try {
            client.send(HttpRequest.newBuilder(URI.create(System.getProperty("hold") + path)).build(),
                    HttpResponse.BodyHandlers.discarding());
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    private TreeSet<String> keys() {
        return new TreeSet<>(store.keys(namespace + ":*"));
    }

    /** Lets time pass for what is stored: all its times lie further back, and Redis removes it so much sooner. */
    private void age(Duration by) {
        for (String key : keys()) {
            for (String field : List.of("creationTime", "lastAccessedTime")) {
                long time = (Long) store.opsForHash().get(key, field);
                store.opsForHash().put(key, field, time - by.toMillis());
            }
            Duration left = Duration.ofMillis(store.getExpire(key, TimeUnit.MILLISECONDS));
            if (left.compareTo(by) > 0) {
                store.expire(key, left.minus(by));
            } else {
                store.delete(key);
            }
        }
    }

    /** Replaces each session by something that Redis does not read as one: it answers with an error. */
    private void fail() {
        for (String key : keys()) {
            store.delete(key);
            store.opsForValue().set(key, "down");
        }
    }

    public static void main(String[] args) throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        var spring = new AnnotationConfigApplicationContext(Settings.class);
        var sessions = spring.getBean(RedisSessionRepository.class);
        sessions.setDefaultMaxInactiveInterval(Duration.ofSeconds(Long.getLong("idle")));
        Path folder = Files.createTempDirectory("probe");
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(folder.toString());
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", folder.toString());
        FilterDef filter = new FilterDef();
        filter.setFilterName("sessions");
        filter.setFilter(spring.getBean(SessionRepositoryFilter.class));
        context.addFilterDef(filter);
        FilterMap everywhere = new FilterMap();
        everywhere.setFilterName("sessions");
        everywhere.addURLPattern("/*");
        context.addFilterMap(everywhere);
        Tomcat.addServlet(context, "probe", new Probe(sessions.getSessionRedisOperations()));
        context.addServletMappingDecoded("/*", "probe");
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
        while (System.in.read() >= 0) { }
        System.exit(0);
    }
}
